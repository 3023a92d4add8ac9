"""A launch as the configuration of TARDIS, Terraform and Heat: no secret beside the files for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.fleet.export import heat, tardis, terraform
from bakery.fleet.export.files import Export
from bakery.fleet.marks import Mark, names
from bakery.fleet.plan import Flavor, Image, Plan
from provisioner.errors import BadInput

MARK = Mark("0a1b2c3d4e5f", 'Ünï "${x}" %{y}', "cm.example.edu,cm2.example.edu", 900, 0)
FLAVOR = Flavor("7", "m3.small", 2, 6144, 20)
IMAGE = Image("image-id", "osg-debian13", kind="osg")
SECRET = "#!/bin/bash\ncat <<'END'\nToken = eyJhbGciOiJIUzI1NiJ9.canary.canary\n${x} %{y}\nEND\n"
PLAN = Plan(
    MARK, names(MARK.group, MARK.launch, 5), IMAGE, FLAVOR, "net-id", SECRET.encode(), ("a", "b"), 2
)
AUTH = {
    "auth_url": "https://cloud:5000",
    "application_credential_id": "i",
    "application_credential_secret": "canary",
}
FOLDER = Path("/srv/fleet")


def texts(found: Export, *, secret: bool) -> dict[str, str]:
    return {file.name: file.text for file in found.files if file.secret is secret}


@pytest.mark.parametrize(
    ("found", "secret"),
    [
        (tardis.export(PLAN, AUTH, FOLDER), {"tardis.yaml", "user-data"}),
        (terraform.export(PLAN, "mycloud"), {"user-data"}),
        (heat.export(PLAN, "mycloud"), {"environment.yaml"}),
    ],
    ids=["tardis", "terraform", "heat"],
)
def test_secrets_are_in_the_files_for_them(found: Export, secret: set[str]) -> None:
    assert set(texts(found, secret=True)) == secret
    assert "canary" not in json.dumps(texts(found, secret=False)) + repr(found)
    assert "canary" not in " ".join(found.command)


def test_tardis_reads_the_site_its_server_and_the_user_data() -> None:
    found = yaml.safe_load(texts(tardis.export(PLAN, AUTH, FOLDER), secret=True)["tardis.yaml"])
    [site] = found["Sites"]
    assert site == {"name": "fleet-n-x-y", "adapter": "OpenStack", "quota": 10}
    its = found[site["name"]]
    assert its["auth_url"] == "https://cloud:5000/v3" and its["MachineTypes"] == ["m3.small"]
    assert its["MachineMetaData"]["m3.small"] == {"Cores": 2, "Memory": 6.0, "Disk": 20}
    server = its["MachineTypeConfiguration"]["m3.small"]
    assert server["user_data"] == "/srv/fleet/user-data"
    assert server["metadata"]["worker_bakery_drone"] == "tardis"
    assert "worker_bakery_launch" not in server["metadata"]  # reap leaves drones to TARDIS
    assert found["BatchSystem"]["options"] == {"pool": "cm.example.edu"}


@pytest.mark.parametrize(("count", "surplus"), [(1, 2), (5, 2), (20, 4), (25, 6)])
def test_at_most_a_tenth_of_the_drones_boots_at_once(count: int, surplus: int) -> None:
    plan = replace(PLAN, names=names("g", MARK.launch, count))
    text = texts(tardis.export(plan, AUTH, FOLDER), secret=False)["cobald.yaml"]
    assert (
        f"!Limiter\n  minimum: 2\n  maximum: {2 * count}\n  granularity: 2\n  surplus: {surplus}\n" in text
    )


@pytest.mark.parametrize("group", ["update", "items", "Sites", "BatchSystem", "é", "-"])
def test_a_site_has_no_name_that_tardis_uses(group: str) -> None:
    plan = replace(PLAN, mark=replace(MARK, group=group), names=names(group, MARK.launch, 1))
    assert tardis.site_of(plan).startswith("fleet-") and tardis.site_of(plan).isascii()


def test_a_password_is_a_credential_for_tardis_too() -> None:
    auth = dict(zip(("username", "password", "project_name"), "upp", strict=True))
    domains = {"user_domain_name": "d", "project_domain_name": "d"}
    found = tardis.credential({"auth_url": "https://c/v3/", **auth, **domains, "other": "x"})
    assert found == {"auth_url": "https://c/v3", **auth, **domains}


@pytest.mark.parametrize("auth", [{}, {"token": "canary"}, {"username": "u", "password": "canary"}])
def test_other_credentials_are_refused(auth: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="TARDIS requires application_credential_id") as error:
        tardis.credential({"auth_url": "https://c/v3", **auth})
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ('a"b\\c\nd', '"a\\"b\\\\c\\nd"'),
        ("${x} %{y} $x %x", '"$${x} %%{y} $x %x"'),
        ("é😀", '"é😀"'),
    ],
)
def test_a_string_of_hcl_evaluates_nothing(text: str, expected: str) -> None:
    assert terraform.string(text) == expected


def test_terraform_has_no_server_groups_where_nova_permits_none() -> None:
    assert "servergroup" not in terraform.configuration(
        replace(PLAN, server_groups=(), servers_per_group=0), "c"
    )
    text = terraform.configuration(PLAN, "c")
    assert "servers_per_group = 2" in text and "server_groups     = 2" in text
    assert '"worker-bakery-0a1b2c3d4e5f-${count.index + 1}"' in text


def test_heat_has_each_server_with_its_marks_and_group() -> None:
    found: dict[str, Any] = heat.template(PLAN)
    resources = found["resources"]
    servers = [one for one in resources.values() if one["type"] == "OS::Nova::Server"]
    assert [one["properties"]["name"] for one in servers] == list(PLAN.names)
    groups = [one["properties"].get("scheduler_hints") for one in servers]
    assert groups[1] == {"group": {"get_resource": "group-1"}} and groups[4] is None
    assert all(one["properties"]["tags"] == list(MARK.tags) for one in servers)
    assert all(one["properties"]["metadata"] == MARK.metadata for one in servers)
    assert yaml.safe_load(texts(heat.export(PLAN, "c"), secret=True)["environment.yaml"]) == {
        "parameters": {"user_data": SECRET}
    }
