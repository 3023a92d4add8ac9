"""The limit counts on the form that travels."""

from __future__ import annotations

import random

import pytest

from bakery.userdata.delivery import clouds
from bakery.userdata.delivery.encodings import Encoding, dressed, zipped

LAST = {
    "jetstream2": 49149,
    "openstack": 49149,
    "ec2": 16384,
    "azure": 65535,
    "gce": 262144,
    "vsphere": 393216,
}


@pytest.mark.parametrize("name", clouds.CLOUDS)
def test_the_last_byte_that_fits(name: str) -> None:
    noise = random.Random(1).randbytes(LAST[name] + 1)
    assert clouds.findings(name, noise[:-1], Encoding()) == []
    (one,) = clouds.findings(name, noise, Encoding())
    assert (one.id, one.severity) == ("too-large", "error")
    assert f"{clouds.CLOUDS[name].limit} that {clouds.CLOUDS[name].title} takes" in one.message
    assert f"Leave something out until it has {LAST[name]} bytes" in one.fix


def test_by_how_much_and_what_would_fit() -> None:
    (one,) = clouds.findings("ec2", b"x" * 20000, Encoding())
    assert one.message == ("The user-data has 20000 bytes, 3616 more than the 16384 that EC2 takes.")
    assert one.fix == f"With --gzip it has {len(zipped(b'x' * 20000))}, which fits."
    (one,) = clouds.findings("azure", b"x" * 70000, Encoding())
    assert "With --gzip --base64 it has" in one.fix
    (one,) = clouds.findings("jetstream2", b"x" * 50000, Encoding())
    assert one.message.startswith("The user-data has 66668 bytes as base64, 1133 more than the 65535")
    assert one.fix.startswith("Leave something out until it has 49149 bytes, or")


@pytest.mark.parametrize(
    ("name", "gzip", "base64", "lost"),
    [
        ("jetstream2", True, False, True), ("jetstream2", False, True, True),
        ("openstack", True, False, False),
        ("ec2", True, False, False), ("ec2", True, True, False), ("azure", True, False, True),
        ("azure", True, True, False), ("gce", True, False, True), ("gce", True, True, False),
        ("vsphere", True, False, True), ("vsphere", True, True, False),
    ],
)  # fmt: skip
def test_what_does_not_survive_the_way(name: str, gzip: bool, base64: bool, lost: bool) -> None:
    found = [one.id for one in clouds.findings(name, b"x", Encoding(gzip, base64))]
    assert found == ["lost-encoding"] * lost


def test_the_dress_is_the_same_each_time() -> None:
    assert zipped(b"x" * 100) == zipped(b"x" * 100)
    assert zipped(b"x")[4:10] == b"\0\0\0\0\x02\xff"
    assert dressed(b"x", Encoding(base64=True)) == b"eA==\n"
