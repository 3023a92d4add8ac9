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
Answer = tuple[int, dict[str, str], dict[str, Any]]


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


def test_only_root_can_read_the_credential_and_it_goes_with_the_setting(machine: Path) -> None:
    values = {"OnIdle": "delete", "ServerCredential": text()}
    token.put_server_credential(values)
    file = machine / "server-credential"
    assert file.stat().st_mode & 0o777 == 0o600 and file.read_text() == text()
    token.put_server_credential({**values, "OnIdle": "poweroff"})
    assert not file.exists()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"ServerCredential": text()}, ""),
        ({}, "OnIdle = delete requires ServerCredential"),
        ({"ServerCredential": "aaaa"}, "ServerCredential is not a credential as fleet launch makes it"),
        ({"ServerCredential": base64.b64encode(b"[1]").decode()}, "ServerCredential is not a credential"),
    ],
)
def test_a_configuration_requires_a_credential(given: dict[str, str], problem: str) -> None:
    values = {"OnIdle": "delete", "ServerCredential": "", "ServerCredentialCommand": "", **given}
    found = token.with_server_credential(WorkerConfig(values, (), ()))
    assert found.problems == () if not problem else found.problems[0].startswith(problem)
    assert problem or found.values["ServerCredential"] == text()
    assert SECRET not in str(found.problems)


def test_it_is_tried_once_before_the_power_off() -> None:
    assert watch.is_last_moment("off", Order("stop", 1.0), "delete")
    assert not watch.is_last_moment("off", Order("off", 1.0), "delete")
    assert not watch.is_last_moment("wait", Order(), "delete")
    assert not watch.is_last_moment("off", Order(), "poweroff")


def test_credentials_of_others_are_not_ours_to_delete() -> None:
    def one(id: str, **more: str) -> dict[str, str]:
        about = {"name": credential.name(SERVER), "description": credential.description("R1"), "project_id": "p"}
        return {"id": id, **about, **more}

    found = [
        one("ours"),
        one("of another project", project_id="q"),
        one("of another region", description=credential.description("R2")),
        one("of somebody", name="worker-bakery-mine"),
        one("of a person", description="My laptop", name="laptop"),
    ]
    assert credential.gone(found, [], project="p", region="R1") == ["ours"]
    assert credential.gone(found, [SERVER], project="p", region="R1") == []


def test_the_access_rule_is_the_deletion_of_this_server_alone() -> None:
    made = credential.body(SERVER, SECRET, "/v2.1/", "R1")["application_credential"]
    rule = {"service": "compute", "method": "DELETE", "path": f"/v2.1/servers/{SERVER}"}
    assert made["access_rules"] == [rule] and made["unrestricted"] is False
