"""URLs of this machine as seen from a virtual machine on QEMU's user-mode network."""

from __future__ import annotations

import pytest

from bakery.engines.packer.slirp import seen_from_guest
from provisioner.errors import BadInput


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://pulp.example.org/el9/", "https://pulp.example.org/el9/"),
        ("http://192.0.2.7:8080/el9/?a=b", "http://192.0.2.7:8080/el9/?a=b"),
        ("http://[2001:db8::1]/el9/", "http://[2001:db8::1]/el9/"),
        ("http://127.0.0.1:8080/el9/$basearch/", "http://10.0.2.2:8080/el9/$basearch/"),
        ("http://localhost/el9/", "http://10.0.2.2/el9/"),
        ("http://LocalHost.:81/el9", "http://10.0.2.2:81/el9"),
        ("http://127.0.0.1.example.org/", "http://127.0.0.1.example.org/"),
    ],
)
def test_loopback_becomes_the_gateway(url: str, seen: str) -> None:
    assert seen_from_guest("epel", url) == seen


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://localhost:8443/el9/", "certificate"),
        ("http://127.0.0.2/el9/", "reaches 127.0.0.1 only, not 127.0.0.2"),
        ("http://[::1]:8080/el9/", "127.0.0.1 only, not ::1"),
        ("http://0.0.0.0/el9/", "127.0.0.1 only, not 0.0.0.0"),
        ("http://10.0.2.15/el9/", "10.0.2.15 is in 10.0.2.0/24, the internal network"),
    ],
)
def test_unreachable_urls_are_refused(url: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        seen_from_guest("epel", url)
    assert "--repository-url epel" in caught.value.message
    assert "--engine chroot" in caught.value.hint
