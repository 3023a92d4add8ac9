"""Servers that boot from a volume: the request, what fits, and what is known of them afterwards."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.fleet import plan, servers
from bakery.fleet.plan import Flavor, Limits
from bakery.fleet.replacement import steps
from bakery.fleet.states import Member
from provisioner.errors import BadInput, Refused
from tests.unit.fleet.test_fleet_plan import FLAVOR, IMAGE, MARK, PLAN

SIZES = st.integers(1, 1000)
LIMITS = st.fixed_dictionaries(
    {
        f"maxTotal{name}": st.integers(-1, 3000)
        for name in ("Instances", "Cores", "RAMSize", "Volumes", "VolumeGigabytes")
    }
)


def found(body: dict[str, Any]) -> servers.Server | None:
    """The server as Nova lists it: one that boots from a volume has no image."""
    asked = body["server"]
    image: object = {"id": asked["imageRef"]} if "imageRef" in asked else ""
    about = {"id": "1", "status": "ACTIVE", "created": "2026-11-29T12:00:00Z", "tenant_id": "p"}
    return servers.of({**about, **asked, "image": image}, "p")


@given(st.integers(0, 1000), st.integers(0, 9))
def test_the_volume_of_a_server_goes_with_it_and_its_image_is_known(gigabytes: int, size: int) -> None:
    body = replace(PLAN, root_volume=gigabytes, size=size).body("one", "sg", "")
    server = found(body)
    assert server and (server.image, server.mark, server.size) == (IMAGE.id, MARK, size)
    volumes = body["server"].get("block_device_mapping_v2", [])
    assert ("imageRef" in body["server"]) == (not volumes) == (gigabytes == 0)
    for volume in volumes:
        assert volume["delete_on_termination"] is True and volume["boot_index"] == 0
        assert (volume["uuid"], volume["volume_size"]) == (IMAGE.id, gigabytes)


def test_a_replacement_ends_with_servers_that_boot_from_a_volume() -> None:
    server = found(replace(PLAN, root_volume=20).body("one", "sg", ""))
    assert server
    members = [Member(server, None, "booting")]
    assert not steps.is_unfinished(members, IMAGE.id) and steps.is_unfinished(members, "another")


@given(LIMITS, st.integers(1, 100), st.integers(0, 50), st.integers(1, 8))
def test_a_launch_fits_or_the_number_that_does_is_named(
    values: dict[str, int], count: int, gigabytes: int, cpus: int
) -> None:
    flavor = Flavor("1", "f", cpus, 10, 0)
    try:
        plan.check_quota(Limits(values), flavor, count, gigabytes)
    except Refused as error:
        number = re.search(r"--count (\d+)", str(error))
        most = int(number[1]) if number else 0
        assert most < count and not fits(values, flavor, most + 1, gigabytes)
        assert most == 0 or fits(values, flavor, most, gigabytes)
    else:
        assert fits(values, flavor, count, gigabytes)


def fits(values: dict[str, int], flavor: Flavor, count: int, gigabytes: int) -> bool:
    wanted = {"Instances": count, "Cores": count * flavor.vcpus, "RAMSize": count * flavor.ram}
    if gigabytes:
        wanted |= {"Volumes": count, "VolumeGigabytes": count * gigabytes}
    limits = {name: values[f"maxTotal{name}"] for name in wanted}
    return all(limits[name] < 0 or number <= limits[name] for name, number in wanted.items())


def test_the_quota_of_volumes() -> None:
    used = {"maxTotalVolumeGigabytes": 100, "totalGigabytesUsed": 30, "maxTotalVolumes": 10}
    plan.check_quota(Limits(used), FLAVOR, 3, 20)
    with pytest.raises(Refused, match=r"80 GiB of volumes are requested, 70 are left.*--count 3"):
        plan.check_quota(Limits(used), FLAVOR, 4, 20)
    with pytest.raises(Refused, match=r"11 volumes are requested, 10 are left"):
        plan.check_quota(Limits({**used, "totalGigabytesUsed": 0}), FLAVOR, 11, 1)
    plan.check_quota(Limits(used), FLAVOR, 11)  # without volumes


@given(SIZES, SIZES, st.integers(0, 1000))
def test_the_volume_counts_instead_of_the_disk_of_the_flavor(
    need: int, volume: int, of_flavor: int
) -> None:
    image, flavor = replace(IMAGE, min_disk=need), replace(FLAVOR, disk=of_flavor)
    if need <= volume:
        plan.check_image(image, flavor, "osg", volume)
        return
    with pytest.raises(BadInput, match=rf"requires {need} GiB.*Use --root-volume {need}"):
        plan.check_image(image, flavor, "osg", volume)
