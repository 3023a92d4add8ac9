"""A worker deletes its own server: the credential, the tries, and the credentials that we may delete."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from worker_runtime.configuration import instance, token
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.lifecycle import observe, self_deletion, watch
from worker_runtime.lifecycle.self_deletion import Deletion, Failed, Passing
from worker_runtime.lifecycle.states import Facts, Limits, Memory, Status
from worker_runtime.system import paths

from bakery.fleet.self_deletion import credential

SERVER = "6d1f034f-3b4f-4c4f-b700-1d78867d8cbe"
SECRET = "canary-of-a-secret-51c7"
NOVA = "https://nova.example.org/v2.1"
CHARGED = "this server could not delete itself, and is charged until it is deleted: "


def text(url: str = "https://keystone.example.org/v3", compute: str = NOVA) -> str:
    return credential.text(auth_url=url, user="u1", secret=SECRET, compute=compute)


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


def as_text(found: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(found).encode()).decode()


GOOD = {"auth_url": "http://k/v3", "user": "u", "secret": SECRET, "compute": "http://n/v2.1"}


@pytest.mark.parametrize(
    "given",
    [
        "aaaa", "a", as_text([1]), as_text("x"), as_text({**GOOD, "user": ""}), as_text({**GOOD, "secret": 5}),
        as_text({**GOOD, "compute": "file:///etc/passwd"}), as_text({**GOOD, "auth_url": "http://k v3"}),
        as_text({key: GOOD[key] for key in ("auth_url", "user", "secret")}),
    ],
)  # fmt: skip
def test_a_credential_that_is_none_is_a_problem_of_the_file(given: str) -> None:
    values = {"OnIdle": "delete", "ServerCredential": given, "ServerCredentialCommand": ""}
    found = token.with_server_credential(WorkerConfig(values, (), ()))
    assert found.problems == ("ServerCredential is not a credential as fleet launch makes it",)
    assert token.with_server_credential(WorkerConfig({**values, "OnIdle": "stop"}, (), ())).problems == ()


def test_a_configuration_requires_a_credential() -> None:
    values = {"OnIdle": "delete", "ServerCredential": "", "ServerCredentialCommand": ""}
    found = token.with_server_credential(WorkerConfig(values, (), ()))
    assert found.problems == ("OnIdle = delete requires ServerCredential",)
    good = WorkerConfig({**values, "ServerCredential": as_text(GOOD)}, (), ())
    assert token.with_server_credential(good) == good


def failing(*errors: Failed | None) -> Callable[[], None]:
    left: Iterator[Failed | None] = iter(errors)

    def delete() -> None:
        if error := next(left):
            raise error

    return delete


def test_a_cause_that_may_pass_is_tried_again() -> None:
    delete = failing(Passing("Nova answers with status 500"), None)
    first = self_deletion.attempt(Deletion(), 100.0, delete)
    assert first == Deletion(1, 100.0, False, "Nova answers with status 500, trying again")
    assert self_deletion.attempt(first, 105.0, delete) == first  # not at once
    assert self_deletion.attempt(first, 115.0, delete) == Deletion(2, 115.0, True, "OpenStack deletes this server")


def test_it_is_given_up_after_some_tries_or_at_once() -> None:
    found = Deletion()
    for now in range(0, 20 * self_deletion.TRIES, 20):
        assert not found.ended
        found = self_deletion.attempt(found, now, failing(Passing("Keystone does not answer: x")))
    assert found.ended and found.said == CHARGED + "Keystone does not answer: x"
    refused = self_deletion.attempt(Deletion(), 1.0, failing(Failed("Nova answers with status 403")))
    assert refused.ended and refused.said == CHARGED + "Nova answers with status 403"


class Inspected:
    """What plan_shutdown takes of an inspection: HTCondor is down."""

    values = {"OnIdle": "delete", "LoginGrace": "0"}

    def __init__(self, now: float) -> None:
        self.facts = Facts(now, 50.0, "inactive", True, "", 0, None, "")
        self.limits = Limits(3600, 900, 1500, float("inf"), 0, 600, 300)


@pytest.mark.parametrize(
    ("now", "deletion", "action", "why"),
    [
        (101.0, Deletion(), "delete", "done: deleting this server"),
        (120.0, Deletion(1, 101.0, False, "x, trying again"), "delete", "done: x, trying again; deleting this server"),
        (120.0, Deletion(1, 101.0, True, "it is deleted"), "off", "done: it is deleted; powering off"),
        (9999.0, Deletion(1, 101.0, False, "x"), "force", "done: x; powering off"),
    ],
)
def test_the_power_off_follows_and_the_status_says_what_happened(
    now: float, deletion: Deletion, action: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "logins", lambda: ())
    memory = Memory(ending=100.0, drained=100.0, reason="done")
    inspected: Any = Inspected(now)
    status, found = watch.plan_shutdown(Status("", ""), memory, inspected, deletion)
    assert (found, status.why) == (action, why)


def test_credentials_of_others_are_not_ours_to_delete() -> None:
    def one(id: str, **more: str) -> dict[str, object]:
        about = {"name": credential.name(SERVER), "description": credential.description("R1"), "project_id": "p"}
        return {"id": id, **about, "access_rules": [{"id": f"rule of {id}"}], **more}

    found = [
        one("ours"),
        one("of another project", project_id="q"),
        one("of another region", description=credential.description("R2")),
        one("of somebody", name="worker-bakery-mine"),
        one("of a person", description="My laptop", name="laptop"),
    ]
    ours = credential.ours(found, project="p", region="R1")
    assert [(used.id, used.server, used.rules) for used in ours] == [("ours", SERVER, ("rule of ours",))]
    assert credential.without(ours, []) == ours and credential.without(ours, [SERVER]) == []


def test_the_only_right_is_the_deletion_of_this_server() -> None:
    roles = [{"id": "a", "name": "admin"}, {"id": "m", "name": "member"}]
    about = {"compute": f"{NOVA}/", "region": "R1"}
    made = credential.body(SERVER, SECRET, **about, roles=roles)["application_credential"]
    rule = {"service": "compute", "method": "DELETE", "path": f"/v2.1/servers/{SERVER}"}
    assert made["access_rules"] == [rule] and made["unrestricted"] is False and made["roles"] == [{"id": "m"}]
    own = credential.body(SERVER, SECRET, **about, roles=roles[:1])["application_credential"]
    assert "roles" not in own  # all that Keystone gives; the role member may have another name there

    answer = {**made, "access_rules": [{"id": "r", **rule}]}
    assert credential.is_restricted(answer, SERVER, NOVA)
    assert not credential.is_restricted({**answer, "access_rules": None}, SERVER, NOVA)
    assert not credential.is_restricted({**answer, "unrestricted": True}, SERVER, NOVA)
    more = [*answer["access_rules"], {"service": "compute", "method": "GET", "path": "/v2.1/servers"}]
    assert not credential.is_restricted({**answer, "access_rules": more}, SERVER, NOVA)
