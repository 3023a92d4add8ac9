"""Metadata services that behave as those of clouds do: which cloud it is, and what it announces."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from worker_runtime.lifecycle import preemption
from worker_runtime.lifecycle.notices import Notice

ACTION = '{"action": "terminate", "time": "2017-09-18T08:22:00Z"}'
PREEMPT = {"EventId": "A", "EventStatus": "Scheduled", "EventType": "Preempt", "Resources": ["worker_3"]}


@contextmanager
def service(answers: dict[tuple[str, str], str], header: tuple[str, str]) -> Iterator[str]:
    """A metadata service that answers these (method, path), if the request has a header."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get((self.command, self.path))
            has_header = self.command == "PUT" or self.headers.get(header[0], "") == header[1]
            self.send_response(200 if found is not None and has_header else 404 if has_header else 401)
            self.end_headers()
            self.wfile.write((found or "").encode() if has_header else b"")

        do_PUT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


AMAZON = {("PUT", "/latest/api/token"): "a-token"}
AMAZON_HEADER = ("X-aws-ec2-metadata-token", "a-token")
GOOGLE = {
    ("GET", "/computeMetadata/v1/instance/preempted"): "FALSE",
    ("GET", "/computeMetadata/v1/instance/maintenance-event"): "NONE",
}
AZURE = {
    ("GET", "/metadata/scheduledevents?api-version=2020-07-01"): '{"DocumentIncarnation": 1, "Events": []}',
    ("GET", "/metadata/instance/compute/name?api-version=2021-02-01&format=text"): "worker_3",
}
# How a cloud's service changes, and what is then found.
CHANGES = [
    ("Amazon", AMAZON, AMAZON_HEADER, ("GET", "/latest/meta-data/spot/instance-action"), ACTION),
    ("Google", GOOGLE, ("Metadata-Flavor", "Google"), next(iter(GOOGLE)), "TRUE"),
    ("Azure", AZURE, ("Metadata", "true"), next(iter(AZURE)), json.dumps({"DocumentIncarnation": 2, "Events": [PREEMPT]})),
]


@pytest.mark.parametrize(("name", "answers", "header", "where", "what"), CHANGES, ids=["Amazon", "Google", "Azure"])
def test_each_cloud_is_recognised_and_its_notice_is_written(
    name: str,
    answers: dict[tuple[str, str], str],
    header: tuple[str, str],
    where: tuple[str, str],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    answers = dict(answers)
    monkeypatch.setattr(preemption, "NOTICE", str(tmp_path / "notice.json"))
    with service(answers, header) as base:
        monkeypatch.setattr(preemption, "BASE", base)
        cloud = preemption.find(preemption.CLOUDS)
        assert cloud is not None
        assert cloud.name == name
        assert preemption.update(cloud, None) is None
        assert preemption.current() is None
        answers[where] = what
        found = preemption.update(cloud, None)
        assert found is not None
        assert found.is_certain
        seen = preemption.current()
        assert seen is not None
        assert seen.notice == found


def test_no_cloud_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with service({("GET", "/anything"): "x"}, ("Any", "")) as base:
        monkeypatch.setattr(preemption, "BASE", base)
        assert preemption.find(preemption.CLOUDS) is None
    monkeypatch.setattr(preemption, "BASE", "http://127.0.0.1:1")
    assert preemption.find(preemption.CLOUDS) is None
