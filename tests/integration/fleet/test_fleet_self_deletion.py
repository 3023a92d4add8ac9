"""Workers that delete their own servers (`--on-idle delete`), against a real Keystone and a real Nova."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.runtime.conditions import wait_until
from bakery.verify.pool.throwaway_pool import COMPLETED, Pool
from tests.boot.life import JOIN
from tests.boot.test_life_jobs import attempts, source
from tests.conftest import BASE
from tests.integration.control_plane.plane import Plane
from tests.integration.fleet.test_fleet import argv_of, of, servers

pytestmark = pytest.mark.full  # as test_fleet.py
GROUP, PROJECT = "deletable", "TG-ABC123"
# What the worker does, by its own code; then everything else that somebody could try with its credential.
_TRY = """
import urllib.error, urllib.request
sys.path.insert(0, sys.argv[1])
from worker_runtime.configuration import token
from worker_runtime.lifecycle import self_deletion
credential, own, other = token.parse_credential(sys.argv[2]), sys.argv[3], sys.argv[4]

def tried(method, url, headers, body=None):
    data = json.dumps(body).encode() if body else None
    about = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, data=data, headers=about, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.getheaders())
    except urllib.error.HTTPError as error:
        return error.code, {}

login = credential.auth_url + "/auth/tokens"
status, headers = tried("POST", login, {}, self_deletion.authentication(credential, own))
assert status == 201, status
key = {"X-Auth-Token": headers["X-Subject-Token"]}
admin = connect("admin")
nova, glance = admin.compute.get_endpoint(), admin.image.get_endpoint()
user = credential.auth_url + "/users/" + credential.user
found = {
    "list": tried("GET", nova + "/servers", key)[0],
    "show itself": tried("GET", f"{nova}/servers/{own}", key)[0],
    "stop itself": tried("POST", f"{nova}/servers/{own}/action", key, {"os-stop": None})[0],
    "delete another": tried("DELETE", f"{nova}/servers/{other}", key)[0],
    "create": tried("POST", nova + "/servers", key, {"server": {"name": "evil"}})[0],
    "images": tried("GET", glance + "/v2/images", key)[0],
    "application credentials": tried("GET", user + "/application_credentials", key)[0],
    "make one": tried("POST", user + "/application_credentials", key, {"application_credential": {}})[0],
    "as another server": tried("POST", login, {}, self_deletion.authentication(credential, other))[0],
}
print(json.dumps(found))
"""
_CAT = "#!/bin/sh\nexec 2>&1\nid\ncat /run/worker-bakery/server-credential\nexit 0\n"
_CREDENTIALS = """
user = connect("site")
path = f"/users/{user.current_user_id}/application_credentials"
found = {one["name"]: one for one in user.identity.get(path).json()["application_credentials"]}
print(json.dumps({name: one["access_rules"] for name, one in found.items() if "worker-bakery" in name}))
"""


@pytest.fixture
def image(baked: dict[str, Any], image_root: Path) -> Image:
    return Image(Path(baked["path"]), image_root, BASE.login)


def credentials(plane: Plane) -> dict[str, Any]:
    found: dict[str, Any] = plane.python(_CREDENTIALS)
    return found


def launched(plane: Plane, token: Path, count: int, *more: str) -> dict[str, str]:
    """The names and ids of servers that can delete themselves."""
    argv = argv_of(token, "--count", str(count), "--on-idle", "delete", "--json", *more, group=GROUP)
    done = plane.bakery(*argv)
    made = of(done)
    names = {one["name"]: one["id"] for one in made["servers"]}
    shown = json.dumps(made) + done.err + json.dumps(servers(plane))
    for server in names.values():
        text = credential_of(told(plane, server))
        about = json.loads(base64.urlsafe_b64decode(text))
        assert text not in shown and about["secret"] not in shown
    return names


def told(plane: Plane, server: str) -> str:
    """The user-data of a server, as an administrator sees it."""
    script = 'print(json.dumps(connect("admin").compute.get_server(sys.argv[1]).user_data))'
    return base64.b64decode(plane.python(script, server)).decode()


def credential_of(text: str) -> str:
    found = re.search(r"^ServerCredential = (\S+)$", text, re.MULTILINE)
    assert found, "there is no credential in the user-data"
    return found[1]


def output_of(pool: Pool, name: str, script: str) -> str:
    """What a job prints that has run on the worker."""
    job = pool.submit(name, PROJECT, script)
    ended = wait_until(
        "the job ends", lambda: pool.job_attributes(job, "JobStatus")[0], lambda it: it in "45", 240
    )
    assert ended == COMPLETED
    return pool.output(name)


def worker_code() -> str:
    from bakery.runtime import data

    return str(data.WORKER / "common/usr/lib/worker-bakery")


def test_the_credential_of_a_server_can_delete_it_and_nothing_else(plane: Plane, token: Path) -> None:
    names = launched(plane, token, 2)
    own, other = names.values()
    assert credentials(plane).keys() == {f"worker-bakery-{own}", f"worker-bakery-{other}"}
    for server in (own, other):
        [rule] = credentials(plane)[f"worker-bakery-{server}"]
        assert (rule["service"], rule["method"]) == ("compute", "DELETE")
        assert rule["path"] == f"/v2.1/servers/{server}"
    text = credential_of(told(plane, own))
    assert text != credential_of(told(plane, other))  # each has its own
    refused = plane.python(_TRY, worker_code(), text, own, other)
    print(refused)
    assert refused and all(status in (401, 403) for status in refused.values()), refused
    assert set(servers(plane)) >= set(names)
    plane.python(
        "sys.path.insert(0, sys.argv[1])\n"
        "from worker_runtime.configuration import token\n"
        "from worker_runtime.lifecycle import self_deletion\n"
        "self_deletion._delete(token.parse_credential(sys.argv[2]), sys.argv[3])",
        worker_code(), text, own,
    )  # fmt: skip
    wait_until("its server is gone", lambda: own not in {one["id"] for one in servers(plane).values()})
    assert other in {one["id"] for one in servers(plane).values()}
    # What is left of it goes with the next reap; the credential of the other one stays.
    of(plane.bakery("fleet", "reap", "--cloud", "site", "--json", "--yes"))
    assert credentials(plane).keys() == {f"worker-bakery-{other}"}
    of(plane.bakery("fleet", "delete", "--cloud", "site", "--group", GROUP, "--yes", "--force", "--json"))
    assert credentials(plane) == {}


def test_a_worker_without_jobs_deletes_its_server(
    plane: Plane, pool: Pool, network: Network, token: Path, image: Image, tmp_path: Path
) -> None:
    """A real worker; a job on it looks for the credential, and finds nothing."""
    [(name, server)] = launched(plane, token, 1, "--idle-minutes", "1").items()
    text = told(plane, server)
    secret = credential_of(text)
    needs = Needs(user_data=text, hostname=name, network=network, instance_id=server)
    with boot(needs, image, tmp_path) as machine:
        machine.wait_until("it joins", lambda: pool.status(GROUP), JOIN)
        mode = machine.output("stat", "-c", "%a %U", "/run/worker-bakery/server-credential")
        assert mode == "600 root"
        output = output_of(pool, "deletable-steal", source("steal.sh"))
        assert set(attempts(output).values()) == {"refused"}, output
        shown = output_of(pool, "deletable-cat", _CAT)
        assert "Permission denied" in shown and secret not in output + shown
        wait_until("its server is gone", lambda: name not in servers(plane), seconds=400)
        assert machine.powers_off_within(120), machine.console_text()[-2000:]
        said = machine.console_text()
    assert "OpenStack deletes this server" in said and secret not in said


def test_a_server_that_cannot_delete_itself_says_why(
    plane: Plane, pool: Pool, network: Network, token: Path, image: Image, tmp_path: Path
) -> None:
    """Its credential was deleted, as by an administrator. It powers off as without it, and is reaped."""
    [(name, server)] = launched(plane, token, 1, "--join-minutes", "1").items()
    plane.python("""
user = connect("site")
for one in user.identity.application_credentials(user.current_user_id):
    user.identity.delete_application_credential(user.current_user_id, one)
""")
    text = re.sub(r"^Token = \S+$", "Token = not-a-token", told(plane, server), flags=re.MULTILINE)
    needs = Needs(user_data=text, hostname=name, network=network, instance_id=server)
    with boot(needs, image, tmp_path) as machine:
        assert machine.powers_off_within(400), machine.console_text()[-2000:]
        said = machine.console_text()
    assert "could not delete itself" in said and "Keystone refuses it with status 401" in said
    assert name in servers(plane)
    of(plane.bakery("fleet", "delete", "--cloud", "site", "--group", GROUP, "--yes", "--force", "--json"))
