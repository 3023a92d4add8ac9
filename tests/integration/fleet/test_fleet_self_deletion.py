"""Workers that delete their own servers (`--on-idle delete`), against a real Keystone and a real Nova."""

from __future__ import annotations

import base64
import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import GATEWAY, Network
from bakery.runtime import data
from bakery.runtime.conditions import wait_until
from bakery.verify.pool.throwaway_pool import COMPLETED, Pool
from provisioner.process import run
from tests.boot.life import JOIN
from tests.boot.test_life_jobs import attempts, source
from tests.conftest import BASE
from tests.integration.control_plane.plane import Plane
from tests.integration.fleet.test_fleet import argv_of, of, popen, servers

pytestmark = pytest.mark.full  # as test_fleet.py
GROUP, PROJECT = "deletable", "TG-ABC123"
ASKED = ("--on-idle", "delete", "--json")
REAP = ("fleet", "reap", "--cloud", "site", "--json", "--yes")
DELETE = ("fleet", "delete", "--cloud", "site", "--group", GROUP, "--yes", "--force", "--json")
CODE = str(data.WORKER / "common/usr/lib/worker-bakery")
# With the worker's own code: the credential of its user-data, and a token for it.
_LOGIN = """
import urllib.error, urllib.request
sys.path.insert(0, sys.argv[1])
from worker_runtime.configuration import token
from worker_runtime.lifecycle import self_deletion
credential, own = token.parse_credential(sys.argv[2]), sys.argv[3]

def tried(method, url, headers, body=None):
    about = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(
        url, data=json.dumps(body).encode() if body else None, headers=about, method=method
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.getheaders())
    except urllib.error.HTTPError as error:
        return error.code, {}

login = credential.auth_url + "/auth/tokens"
"""
# Everything that somebody could try with the credential, but for the deletion of its server.
_TRY = """
other = sys.argv[4]
status, headers = tried("POST", login, {}, self_deletion.authentication(credential, own))
assert status == 201, status
token = headers["X-Subject-Token"]
plain, disguised = {"X-Auth-Token": token}, {"X-Auth-Token": token, "X-Service-Token": token}
admin = connect("admin")
nova, network, glance = credential.compute, admin.network.get_endpoint(), "http://127.0.0.1:9292"
user = credential.auth_url + "/users/" + credential.user
project = {"project": {"id": connect("site").current_project_id}}
again = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": project}}
found = {}
for how, key in (("", plain), (" as a service", disguised)):
    found.update({name + how: tried(*asked)[0] for name, asked in {
        "list": ("GET", nova + "/servers", key),
        "show itself": ("GET", f"{nova}/servers/{own}", key),
        "rename itself": ("PUT", f"{nova}/servers/{own}", key, {"server": {"name": "evil"}}),
        "stop itself": ("POST", f"{nova}/servers/{own}/action", key, {"os-stop": None}),
        "delete another": ("DELETE", f"{nova}/servers/{other}", key),
        "delete more": ("DELETE", f"{nova}/servers/{own}/metadata/x", key),
        "create": ("POST", nova + "/servers", key, {"server": {"name": "evil"}}),
        "ports": ("GET", network.rstrip("/") + "/v2.0/ports", key),
    }.items()})
found.update({name: tried(*asked)[0] for name, asked in {
    # Not as a service: Glance accepts that, as its middleware delays the decision.
    "images": ("GET", glance + "/v2/images", plain),
    "application credentials": ("GET", user + "/application_credentials", plain),
    "make one": ("POST", user + "/application_credentials", plain,
                 {"application_credential": {"name": "evil"}}),
    # Keystone's own middleware cannot be told to require the role of a service: it must refuse by itself.
    "make one as a service": ("POST", user + "/application_credentials", disguised,
                              {"application_credential": {"name": "evil"}}),
    "another token": ("POST", login, {}, again),
    "as another server": ("POST", login, {}, self_deletion.authentication(credential, other)),
    "with another secret": ("POST", login, {},
                            self_deletion.authentication(credential._replace(secret="x" * 43), own)),
}.items()})
print(json.dumps(found))
"""
# The services listen on loopback; a machine reaches them at its gateway.
_TO_LOOPBACK = f"""
table ip services {{
    chain to-loopback {{
        type nat hook prerouting priority dstnat
        ip daddr {GATEWAY} tcp dport {{ 5000, 8774 }} dnat to 127.0.0.1
    }}
}}
"""
_DELETE_ITSELF = "self_deletion._delete(credential, own)"
_CAT = "#!/bin/sh\nexec 2>&1\nid\ncat /run/worker-bakery/server-credential\nexit 0\n"
# The application credentials of a user, and the access rules, which Keystone keeps by themselves.
_CREDENTIALS = """
user = connect(sys.argv[1])
path = f"/users/{user.current_user_id}"
found = user.identity.get(path + "/application_credentials").json()["application_credentials"]
rules = user.identity.get(path + "/access_rules").json()["access_rules"]
print(json.dumps([{one["name"]: one for one in found}, [one["path"] for one in rules]]))
"""
# Names and access rules that look like ours, of somebody else; and one of ours, of a server that has gone.
_OTHERS = """
from uuid import uuid4
gone, rule = str(uuid4()), {"service": "compute", "method": "DELETE"}
def make(cloud, name, description, server):
    user = connect(cloud)
    about = {"name": name, "description": description,
             "access_rules": [{**rule, "path": f"/v2.1/servers/{server}"}]}
    path = f"/users/{user.current_user_id}/application_credentials"
    answer = user.identity.post(path, json={"application_credential": about})
    assert answer.status_code == 201, answer.text
ours = "worker-bakery: lets a server of the region RegionOne delete itself"
make("site", f"worker-bakery-{gone}", "of a person", gone)
make("site", "worker-bakery-mine", ours, gone)
make("other", f"worker-bakery-{gone}", ours, gone)
other = str(uuid4())
make("site", f"worker-bakery-{other}", ours, other)
print(json.dumps([gone, other]))
"""
_FORGET = """
for cloud in ("site", "other"):
    user = connect(cloud)
    for one in user.identity.application_credentials(user.current_user_id):
        user.identity.delete_application_credential(user.current_user_id, one)
    rules = f"/users/{user.current_user_id}/access_rules"
    for rule in user.identity.get(rules).json()["access_rules"]:
        assert user.identity.delete(f"{rules}/{rule['id']}").status_code == 204
"""


@pytest.fixture
def image(baked: dict[str, Any], image_root: Path) -> Image:
    return Image(Path(baked["path"]), image_root, BASE.login)


def credentials(plane: Plane, cloud: str = "site") -> dict[str, Any]:
    found: dict[str, Any] = plane.python(_CREDENTIALS, cloud)[0]
    return found


def access_rules(plane: Plane) -> set[str]:
    return set(plane.python(_CREDENTIALS, "site")[1])


def launched(plane: Plane, token: Path, count: int, *more: str) -> dict[str, str]:
    """The names and ids of servers that can delete themselves; their secrets are shown nowhere."""
    done = plane.bakery(*argv_of(token, "--count", str(count), *ASKED, *more, group=GROUP))
    made = of(done)
    names = {one["name"]: one["id"] for one in made["servers"]}
    shown = done.out + done.err + json.dumps(servers(plane)) + json.dumps(credentials(plane))
    logs = "".join(path.read_text("utf-8", "replace") for path in (plane.folder / "log").glob("*"))
    for server in names.values():
        text = credential_of(told(plane, server))
        secret = json.loads(base64.urlsafe_b64decode(text))["secret"]
        assert len(secret) >= 40
        assert all(one not in shown and one not in logs for one in (text, secret))
    return names


def told(plane: Plane, server: str) -> str:
    """The user-data of a server, as an administrator sees it."""
    script = 'print(json.dumps(connect("admin").compute.get_server(sys.argv[1]).user_data))'
    return base64.b64decode(plane.python(script, server)).decode()


def credential_of(text: str) -> str:
    found = re.search(r"^ServerCredential = (\S+)$", text, re.MULTILINE)
    assert found, "there is no credential in the user-data"
    return found[1]


def for_machine(user_data: str) -> str:
    """The user-data with the addresses at which a machine reaches the services."""
    text = credential_of(user_data)
    found = base64.urlsafe_b64decode(text).replace(b"127.0.0.1", GATEWAY.encode())
    return user_data.replace(text, base64.urlsafe_b64encode(found).decode())


def open_to_machines(network: Network) -> None:
    """Let machines reach Keystone and Nova at their gateway; until the network ends."""
    allow = "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"
    run.call(
        network.argv(["sh", "-c", f"nft list table ip services || {{ {allow} && nft -f -; }}"]),
        stdin=_TO_LOOPBACK.encode(),
    )


def ids(plane: Plane) -> set[str]:
    return {one["id"] for one in servers(plane).values()}


def test_the_credential_of_a_server_can_delete_it_and_nothing_else(plane: Plane, token: Path) -> None:
    names = launched(plane, token, 2)
    own, other = names.values()
    assert credentials(plane).keys() == {f"worker-bakery-{own}", f"worker-bakery-{other}"}
    for server in (own, other):
        made = credentials(plane)[f"worker-bakery-{server}"]
        [rule] = made["access_rules"]
        assert (rule["service"], rule["method"]) == ("compute", "DELETE")
        assert rule["path"] == f"/v2.1/servers/{server}"
        assert made["unrestricted"] is False
        assert {one["name"] for one in made["roles"]} == {"member", "reader"}  # one implies the other
    text = credential_of(told(plane, own))
    assert text != credential_of(told(plane, other))  # each has its own
    refused = plane.python(_LOGIN + _TRY, CODE, text, own, other)
    print(refused)
    # 404: Keystone does not say that there is no such application credential, or not for this token.
    assert refused and all(status in (401, 403, 404) for status in refused.values()), refused
    assert all(refused[name] in (401, 403) for name in refused if "another" not in name), refused
    assert set(servers(plane)) == set(names)

    plane.python(_LOGIN + _DELETE_ITSELF, CODE, text, own)
    wait_until("its server is gone", lambda: own not in ids(plane))
    assert other in ids(plane)
    # What is left of it goes with the next reap; the credential of the other one stays.
    of(plane.bakery(*REAP))
    assert credentials(plane).keys() == {f"worker-bakery-{other}"}
    assert access_rules(plane) == {f"/v2.1/servers/{other}"}
    of(plane.bakery(*DELETE))
    assert credentials(plane) == {} and access_rules(plane) == set()


def test_credentials_of_others_are_never_deleted(plane: Plane, token: Path) -> None:
    gone, other = plane.python(_OTHERS)
    try:
        kept = {f"worker-bakery-{gone}", "worker-bakery-mine"}
        assert credentials(plane).keys() == {*kept, f"worker-bakery-{other}"}
        of(plane.bakery(*REAP[:-1]))  # without --yes
        assert credentials(plane).keys() == {*kept, f"worker-bakery-{other}"}
        of(plane.bakery(*REAP))
        assert credentials(plane).keys() == kept
        assert credentials(plane, "other").keys() == {f"worker-bakery-{gone}"}
        assert access_rules(plane) == {f"/v2.1/servers/{gone}"}
        # A launch cleans up, too, and so does its deletion.
        [server] = launched(plane, token, 1).values()
        assert credentials(plane).keys() == {*kept, f"worker-bakery-{server}"}
        of(plane.bakery(*DELETE))
        assert credentials(plane).keys() == kept
    finally:
        plane.python(_FORGET)


def test_a_launch_that_fails_or_is_killed_leaves_no_credential(
    plane: Plane, network: Network, token: Path
) -> None:
    argv = argv_of(token, "--count", "3", *ASKED, group=GROUP, cloud="faulty")
    # The second server is there although its answer is an error, and gets its credential nevertheless.
    with plane.faulty_nova("2:500"):
        assert len(of(plane.bakery(*argv))["servers"]) == 3
    assert credentials(plane).keys() == {f"worker-bakery-{one}" for one in ids(plane)}
    of(plane.bakery(*DELETE))
    assert credentials(plane) == {}

    with plane.faulty_nova("3:hang"):
        launch = popen(plane, network, *argv)
        wait_until("two servers have credentials", lambda: len(credentials(plane)) == 2)
        launch.send_signal(signal.SIGINT)
        launch.communicate(timeout=300)
    assert launch.returncode == 130
    assert ids(plane) == set() and credentials(plane) == {} and access_rules(plane) == set()

    with plane.faulty_nova("3:hang"):
        launch = popen(plane, network, *argv)
        wait_until("two servers have credentials", lambda: len(credentials(plane)) == 2)
        launch.kill()
        launch.communicate()
    assert len(ids(plane)) == 2  # as after any launch that is killed
    of(plane.bakery(*DELETE))
    assert ids(plane) == set() and credentials(plane) == {} and access_rules(plane) == set()


def test_who_cannot_make_credentials_is_told_before_anything_is_made(plane: Plane, token: Path) -> None:
    argv = argv_of(token, "--count", "1", *ASKED, group=GROUP)
    make = """
user = connect("site")
made = user.identity.create_application_credential(
    user.current_user_id, name=sys.argv[1], unrestricted=sys.argv[2] == "unrestricted")
print(json.dumps([made.id, made.secret]))
"""
    clouds = yaml.safe_load((plane.folder / "clouds.yaml").read_text())
    for name in ("restricted", "unrestricted"):
        id, secret = plane.python(make, name, name)
        auth = {"application_credential_id": id, "application_credential_secret": secret}
        auth["auth_url"] = clouds["clouds"]["site"]["auth"]["auth_url"]
        clouds["clouds"][name] = {"auth_type": "v3applicationcredential", "auth": auth}
        clouds["clouds"][name]["region_name"] = "RegionOne"
    file = plane.folder / "clouds-of-credentials.yaml"
    file.write_text(yaml.safe_dump(clouds))
    env = {"OS_CLIENT_CONFIG_FILE": str(file)}

    def asked(name: str, *more: str) -> Any:
        return plane.bakery(*(name if word == "site" else word for word in argv), *more, env=env)

    try:
        for more in ((), ("--dry-run",)):
            done = asked("restricted", *more)
            assert done.status == 12 and "is restricted" in done.err, done.err
        assert ids(plane) == set() and credentials(plane).keys() == {"restricted", "unrestricted"}
        [server] = of(asked("unrestricted"))["servers"]
        assert credentials(plane).keys() == {"restricted", "unrestricted", f"worker-bakery-{server['id']}"}
        # A restricted one deletes servers as ever, and says what stays.
        cloud = ("--cloud", "restricted")
        done = plane.bakery(*(cloud[1] if word == "site" else word for word in DELETE), env=env)
        assert done.status == 0 and "servers that have gone stay in Keystone" in done.err, done.err
        assert ids(plane) == set() and f"worker-bakery-{server['id']}" in credentials(plane)
        of(plane.bakery(*REAP))
        assert credentials(plane).keys() == {"restricted", "unrestricted"}
    finally:
        plane.python(_FORGET)


def output_of(pool: Pool, name: str, script: str) -> str:
    """What a job prints that has run on the worker."""
    job = pool.submit(name, PROJECT, script)
    ended = wait_until(
        "the job ends", lambda: pool.job_attributes(job, "JobStatus")[0], lambda it: it in "45", 240
    )
    assert ended == COMPLETED
    return pool.output(name)


def test_a_worker_without_jobs_deletes_its_server(
    plane: Plane, pool: Pool, network: Network, token: Path, image: Image, tmp_path: Path
) -> None:
    """A real worker; a job on it looks for the credential, and finds nothing."""
    [(name, server)] = launched(plane, token, 1, "--idle-minutes", "1").items()
    open_to_machines(network)
    text = for_machine(told(plane, server))
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
    assert "deleting this server" in said and "OpenStack deletes this server" in said and secret not in said


def test_a_server_that_cannot_delete_itself_says_why(
    plane: Plane, pool: Pool, network: Network, token: Path, image: Image, tmp_path: Path
) -> None:
    """Its credential was deleted, as by an administrator. It powers off as without it, and is reaped."""
    [(name, server)] = launched(plane, token, 1, "--idle-minutes", "1").items()
    plane.python(_FORGET)
    open_to_machines(network)
    text = for_machine(told(plane, server))
    needs = Needs(user_data=text, hostname=name, network=network, instance_id=server)
    with boot(needs, image, tmp_path) as machine:
        assert machine.powers_off_within(400), machine.console_text()[-2000:]
        said = machine.console_text()
    assert "could not delete itself" in said and "Keystone answers with status 401" in said
    assert name in servers(plane)
    of(plane.bakery(*DELETE))
