"""The rules that keep jobs from the metadata service, as text; integration tests apply them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from worker_runtime.jobs.metadata_guard import FORWARD, IPV4, IPV6, OUT, iptables_rules, nft_rules

EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"


def saved(*rules: str) -> str:
    """What iptables-save prints of a machine with our chains and these rules."""
    chains = f":{FORWARD} - [0:0]\n:{OUT} - [0:0]\n"
    return EMPTY.replace("COMMIT\n", chains + "".join(f"{rule}\n" for rule in rules) + "COMMIT\n")


def test_addresses_are_spelled_as_the_tools_print_them() -> None:
    assert [str(ip_address(text)) for text in (*IPV4, *IPV6)] == [*IPV4, *IPV6]
    assert {ip_address(text).version for text in IPV4} == {4}
    assert {ip_address(text).version for text in IPV6} == {6}


@pytest.mark.parametrize("address", [*IPV4, *IPV6])
def test_nft_names_each_address_where_packets_leave_and_where_they_pass(address: str) -> None:
    rules = nft_rules(on=True, ipv6=True)
    output, forward = rules.split("chain forward")
    assert f" {address}" in output and f" {address}" in forward


def test_nft_lets_root_pass_before_anything_is_rejected() -> None:
    lines = nft_rules(on=True, ipv6=True).splitlines()
    assert lines.index("meta skuid 0 accept") < min(
        number for number, line in enumerate(lines) if "reject" in line
    )
    assert nft_rules(on=True, ipv6=True).count("accept") == 3  # two policies and root


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("ipv6", [True, False])
def test_nft_first_takes_away_what_is_there(on: bool, ipv6: bool) -> None:
    family = "inet" if ipv6 else "ip"
    rules = nft_rules(on, ipv6)
    away = f"add table {family} worker_metadata\ndelete table {family} worker_metadata\n"
    assert rules.startswith(away)
    assert (rules != away) == on
    assert ("ip6" in rules) == (on and ipv6)


def test_iptables_enters_each_chain_once_and_first() -> None:
    assert iptables_rules(True, EMPTY, IPV4).splitlines()[:5] == [
        "*filter", f":{OUT} - [0:0]", f":{FORWARD} - [0:0]",
        f"-I OUTPUT -j {OUT}", f"-I FORWARD -j {FORWARD}",
    ]  # fmt: skip
    again = iptables_rules(True, saved(f"-A OUTPUT -j {OUT}", f"-A OUTPUT -j {OUT}"), IPV4)
    assert again.count(f"-D OUTPUT -j {OUT}\n") == 2
    assert again.count(f"-I OUTPUT -j {OUT}\n") == 1
    assert f"-D FORWARD -j {FORWARD}\n" not in again


def test_iptables_matches_owners_only_where_packets_have_one() -> None:
    """The kernel refuses a chain with an owner match that FORWARD can reach."""
    for line in iptables_rules(True, EMPTY, IPV6).splitlines():
        assert "owner" not in line or line.startswith(f"-A {OUT} ")


def test_iptables_removes_its_chains_if_they_are_there_and_nobody_elses() -> None:
    assert iptables_rules(False, EMPTY, IPV4) == ""
    rules = ["-A OUTPUT -j ACCEPT", f"-A OUTPUT -j {OUT}", f"-A FORWARD -j {FORWARD}"]
    assert iptables_rules(False, saved(*rules), IPV4).splitlines() == [
        "*filter", f":{OUT} - [0:0]", f":{FORWARD} - [0:0]",
        f"-D OUTPUT -j {OUT}", f"-D FORWARD -j {FORWARD}", f"-X {OUT}", f"-X {FORWARD}", "COMMIT",
    ]  # fmt: skip
