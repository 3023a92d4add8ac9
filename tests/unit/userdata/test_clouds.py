"""The limits of clouds apply to the encoded user-data."""

from __future__ import annotations

import random

import pytest

from bakery.userdata.delivery import clouds
from bakery.userdata.delivery.encodings import Encoding, encoded, gzipped

LAST = {
    "jetstream2": 49149,
    "openstack": 49149,
    "ec2": 16384,
    "azure": 65535,
    "gce": 262144,
    "vsphere": 393216,
}


@pytest.mark.parametrize("name", clouds.CLOUDS)
def test_one_byte_more_than_the_limit_is_an_error(name: str) -> None:
    noise = random.Random(1).randbytes(LAST[name] + 1)
    assert clouds.findings(name, noise[:-1], Encoding()) == []
    (one,) = clouds.findings(name, noise, Encoding())
    assert (one.id, one.severity) == ("too-large", "error")
    assert f"the limit of {clouds.CLOUDS[name].title} ({clouds.CLOUDS[name].limit})" in one.message
    assert f"Reduce it to {LAST[name]} bytes" in one.fix


def test_the_message_has_the_excess_and_the_fix() -> None:
    (one,) = clouds.findings("ec2", b"x" * 20000, Encoding())
    assert one.message == "The user-data is 20000 bytes, 3616 more than the limit of EC2 (16384)."
    assert one.fix == f"With --gzip it is {len(gzipped(b'x' * 20000))} bytes, which fits."
    (one,) = clouds.findings("azure", b"x" * 70000, Encoding())
    assert "With --gzip --base64 it is" in one.fix
    (one,) = clouds.findings("jetstream2", b"x" * 50000, Encoding())
    assert one.message.startswith("The user-data is 66668 bytes as base64, 1133 more than the limit")
    assert one.fix.startswith("Reduce it to 49149 bytes, or")


@pytest.mark.parametrize(
    ("name", "gzip", "base64", "rejected"),
    [
        ("jetstream2", True, False, True), ("jetstream2", False, True, True),
        ("openstack", True, False, False),
        ("ec2", True, False, False), ("ec2", True, True, False), ("azure", True, False, True),
        ("azure", True, True, False), ("gce", True, False, True), ("gce", True, True, False),
        ("vsphere", True, False, True), ("vsphere", True, True, False),
    ],
)  # fmt: skip
def test_an_encoding_that_the_cloud_does_not_accept(
    name: str, gzip: bool, base64: bool, rejected: bool
) -> None:
    found = [one.id for one in clouds.findings(name, b"x", Encoding(gzip, base64))]
    assert found == ["lost-encoding"] * rejected


def test_the_encoding_is_reproducible() -> None:
    assert gzipped(b"x" * 100) == gzipped(b"x" * 100)
    assert gzipped(b"x")[4:10] == b"\0\0\0\0\x02\xff"
    assert encoded(b"x", Encoding(base64=True)) == b"eA==\n"
