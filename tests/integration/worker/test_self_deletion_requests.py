"""A worker deletes its own server: what it sends, to whom, and what it says if that fails."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from worker_runtime.configuration import instance, token
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.lifecycle import self_deletion, watch
from worker_runtime.lifecycle.watch import Order
from worker_runtime.system import paths

from bakery.fleet.self_deletion import credential

SERVER = "6d1f034f-3b4f-4c4f-b700-1d78867d8cbe"
SECRET = "canary-of-a-secret-51c7"


def text(url: str = "https://keystone.example.org/v3", region: str = "") -> str:
    return credential.text(auth_url=url, user="u1", secret=SECRET, region=region)


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
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = json.loads(body) if body else None
                cloud.asked.append((self.command, self.path, dict(self.headers), found))
                self.send_response(cloud.statuses[self.command])
                self.send_header("X-Subject-Token", "token-of-the-test")
                self.end_headers()
                if self.command == "POST":
                    self.wfile.write(json.dumps(catalogue(cloud.url)).encode())

            do_POST = do_DELETE = handle_any

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def catalogue(url: str) -> dict[str, Any]:
    endpoints = [
        {"interface": "internal", "region_id": "R1", "url": "http://internal.invalid"},
        {"interface": "public", "region_id": "R1", "url": "http://other-region.invalid"},
        {"interface": "public", "region_id": "R2", "url": f"{url}/v2.1"},
    ]
    return {"token": {"catalog": [{"type": "image", "endpoints": []}, {"type": "compute", "endpoints": endpoints}]}}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_it_deletes_its_own_server_and_asks_nothing_else(machine: Path, cloud: Cloud) -> None:
    token.put_server_credential({"OnIdle": "delete", "ServerCredential": text(f"{cloud.url}/v3", "R2")})
    assert self_deletion.delete_server() == "OpenStack deletes this server"
    (login, path, _, body), (verb, server, headers, _) = cloud.asked
    assert (login, path, verb, server) == ("POST", "/v3/auth/tokens", "DELETE", f"/v2.1/servers/{SERVER}")
    about = body["auth"]["identity"]["application_credential"]
    assert about == {"name": credential.name(SERVER), "secret": SECRET, "user": {"id": "u1"}}
    assert {name.lower(): value for name, value in headers.items()}["x-auth-token"] == "token-of-the-test"


@pytest.mark.parametrize(
    ("verb", "status", "words"),
    [("POST", 401, "Keystone refuses it with status 401"), ("DELETE", 403, "Nova refuses it with status 403")],
)
def test_a_refusal_is_reported_without_the_secret(
    machine: Path, cloud: Cloud, verb: str, status: int, words: str
) -> None:
    cloud.statuses[verb] = status
    token.put_server_credential({"OnIdle": "delete", "ServerCredential": text(f"{cloud.url}/v3", "R2")})
    said = self_deletion.delete_server()
    assert words in said and "charged until you delete it" in said and SECRET not in said


def test_what_else_can_fail(machine: Path, cloud: Cloud) -> None:
    assert "there is no credential" in self_deletion.delete_server()
    token.put_server_credential({"OnIdle": "delete", "ServerCredential": text("http://127.0.0.1:1/v3")})
    assert "Keystone does not answer" in self_deletion.delete_server()
    token.put_server_credential({"OnIdle": "delete", "ServerCredential": text(f"{cloud.url}/v3", "R9")})
    assert "does not name an endpoint of Nova" in self_deletion.delete_server()
    (machine / "instance.json").unlink()
    assert "does not know the id" in self_deletion.delete_server()


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (f"/bin/echo {text()}", ""),
        ("/bin/echo a b", "the token of ServerCredentialCommand contains a blank"),
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
    assert problem or found.values["ServerCredential"] == text()
