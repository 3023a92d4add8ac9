"""A worker deletes its own server: what it sends, to whom, and what it says if that fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from worker_runtime.configuration import instance, token
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.lifecycle import self_deletion
from worker_runtime.lifecycle.self_deletion import Failed, Passing
from worker_runtime.system import paths

from bakery.fleet.self_deletion import credential

SERVER = "6d1f034f-3b4f-4c4f-b700-1d78867d8cbe"
SECRET = "canary-of-a-secret-51c7"


def text(keystone: str, nova: str = "http://127.0.0.1:1") -> str:
    return credential.text(auth_url=f"{keystone}/v3", user="u1", secret=SECRET, compute=f"{nova}/v2.1")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a worker; the folder is that of the runtime."""
    monkeypatch.setattr(paths, "RUN", str(tmp_path))
    monkeypatch.setattr(paths, "SERVER_CREDENTIAL", str(tmp_path / "server-credential"))
    monkeypatch.setattr(instance, "INSTANCE", str(tmp_path / "instance.json"))
    (tmp_path / "instance.json").write_text(json.dumps({"v1": {"instance_id": SERVER}}))
    return tmp_path


class Cloud:
    """Keystone and Nova, as far as a worker asks them; the requests that came, and the answers to give."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.statuses = {"POST": 201, "DELETE": 204}
        self.token = "token-of-the-test"
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = json.loads(body) if body else None
                cloud.asked.append((self.command, self.path, dict(self.headers), found))
                self.send_response(cloud.statuses[self.command])
                if self.command == "POST" and cloud.token:
                    self.send_header("X-Subject-Token", cloud.token)
                self.end_headers()

            do_POST = do_DELETE = handle_any

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def put(text: str) -> None:
    token.put_server_credential({"OnIdle": "delete", "ServerCredential": text})


def why() -> tuple[str, bool]:
    """What the worker says of the failure, and whether it tries again."""
    with pytest.raises(Failed) as error:
        self_deletion.delete_server()
    assert SECRET not in str(error.value) and "token-of-the-test" not in str(error.value)
    return str(error.value), isinstance(error.value, Passing)


def test_it_deletes_its_own_server_and_asks_nothing_else(machine: Path, cloud: Cloud) -> None:
    put(text(cloud.url, cloud.url))
    self_deletion.delete_server()
    (login, path, _, body), (verb, server, headers, _) = cloud.asked
    assert (login, path) == ("POST", "/v3/auth/tokens?nocatalog")
    assert (verb, server) == ("DELETE", f"/v2.1/servers/{SERVER}")
    about = body["auth"]["identity"]["application_credential"]
    assert about == {"name": credential.name(SERVER), "secret": SECRET, "user": {"id": "u1"}}
    assert {name.lower(): value for name, value in headers.items()}["x-auth-token"] == "token-of-the-test"


@pytest.mark.parametrize(
    ("verb", "status", "again"),
    [
        ("POST", 401, False), ("POST", 404, False), ("POST", 500, True), ("POST", 503, True),
        ("DELETE", 401, False), ("DELETE", 403, False), ("DELETE", 404, False), ("DELETE", 409, False),
        ("DELETE", 429, True), ("DELETE", 500, True),
    ],
)  # fmt: skip
def test_a_refusal_ends_it_and_a_fault_is_tried_again(
    machine: Path, cloud: Cloud, verb: str, status: int, again: bool
) -> None:
    cloud.statuses[verb] = status
    put(text(cloud.url, cloud.url))
    service = {"POST": "Keystone", "DELETE": "Nova"}[verb]
    assert why() == (f"{service} answers with status {status}", again)
    assert len(cloud.asked) == (1 if verb == "POST" else 2)


def test_what_else_can_fail(machine: Path, cloud: Cloud) -> None:
    assert why() == ("there is no credential", False)
    put(text("http://127.0.0.1:1"))
    said, again = why()
    assert said.startswith("Keystone does not answer: ") and again
    put(text(cloud.url))
    said, again = why()
    assert said.startswith("Nova does not answer: ") and again
    cloud.token = ""
    assert why() == ("Keystone gives no token", False)
    for instance_id in ("i-0000002a", "../other", ""):
        (machine / "instance.json").write_text(json.dumps({"v1": {"instance_id": instance_id}}))
        assert why() == ("cloud-init does not know the id of this server in OpenStack", False)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (f"/bin/echo {text('http://127.0.0.1:1')}", ""),
        ("/bin/echo a b", "the token of ServerCredentialCommand contains a blank"),
        ("/bin/echo aaaa", "ServerCredentialCommand is not a credential as fleet launch makes it"),
        ("/bin/false", "ServerCredentialCommand ended with status 1"),
    ],
)
def test_a_program_prints_the_credential(
    command: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token, "RETRY_SECONDS", 0)
    values = {"OnIdle": "delete", "ServerCredential": "", "ServerCredentialCommand": command}
    found = token.with_server_credential(WorkerConfig(values, (), ()))
    assert found.problems == () if not problem else found.problems[0].startswith(problem)
    assert problem or found.values["ServerCredential"] == text("http://127.0.0.1:1")
