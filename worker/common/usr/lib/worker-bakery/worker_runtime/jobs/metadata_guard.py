"""`worker guard`: jobs are kept from the cloud's metadata service, which hands out the user-data.

Only root may open connections to it; forwarded traffic, which is that of containers, never gets
there. By nftables in a table of our own, or, where that does not work, by iptables in chains of
our own. Run again, it puts the same rules in the place of the old ones, in one transaction.
The rules are pure text; `switch` hands them to the tool.
"""

import os
import shutil
from typing import Callable, List, NamedTuple, Sequence

from worker_runtime.configuration import kind, settings
from worker_runtime.system.command import run
from worker_runtime.system.console import log

TABLE = "worker_metadata"
OUT, FORWARD = "WORKER_METADATA_OUT", "WORKER_METADATA_FWD"
SECONDS = 60  # for one tool; iptables may wait for somebody else's lock

# Sources: the clouds' own documents and cloud-init's datasources. Link-local and private, or,
# like Azure's, used for nothing else.
IPV4 = (
    "169.254.169.254",  # AWS, Azure, Google, OpenStack and most others
    "169.254.170.2",  # AWS: credentials of ECS tasks
    "169.254.170.23",  # AWS: EKS Pod Identity
    "169.254.42.42",  # Scaleway
    "169.254.0.23",  # Tencent
    "100.100.100.200",  # Alibaba
    "168.63.129.16",  # Azure's WireServer
    "192.0.0.192",  # Oracle Classic
)
IPV6 = (
    "fd00:ec2::254",  # AWS
    "fd00:ec2::23",  # AWS: EKS Pod Identity
    "fd20:ce::254",  # Google
    "fe80::a9fe:a9fe",  # OpenStack
    "fd00:c1::a9fe:a9fe",  # Oracle
    "fd00:a9fe:a9fe::1",  # Akamai
    "fd00:42::42",  # Scaleway
    "fd00:100::100:200",  # Alibaba
)
# TCP only, and these only: on Google's cloud the same address is the DNS server. The last is
# the WireServer's second door, which also tells what extensions are to do.
PORTS = ("80", "443", "32526")


class GuardFailed(Exception):
    """Why the rules are not in place, in words."""


class Family(NamedTuple):
    """What iptables keeps apart."""

    save: str
    restore: str
    addresses: Sequence[str]


FAMILIES = (
    Family("iptables-save", "iptables-restore", IPV4),
    Family("ip6tables-save", "ip6tables-restore", IPV6),
)


def nft_rules(on: bool, ipv6: bool) -> str:
    """The transaction for `nft -f`: our table away, and, if on, there again.

    A kernel without IPv6 may not know the family inet.
    """
    family = "inet" if ipv6 else "ip"
    # A table that is not there cannot be deleted; one that is there can be added.
    away = "add table {0} {1}\ndelete table {0} {1}\n".format(family, TABLE)
    if not on:
        return away
    targets = ["ip daddr { %s }" % ", ".join(IPV4)]
    if ipv6:
        targets.append("ip6 daddr { %s }" % ", ".join(IPV6))
    matches = ["%s tcp dport { %s }" % (target, ", ".join(PORTS)) for target in targets]
    return away + "table %s %s {\n%s%s}\n" % (
        family,
        TABLE,
        _nft_chain("output", _nft_output(matches)),
        _nft_chain("forward", [match + " reject with tcp reset" for match in matches]),
    )


def _nft_output(matches: Sequence[str]) -> List[str]:
    """By the socket's owner: root of another user namespace is not root here.

    A socket that is closed has no owner any more: the last packets of root's connections pass,
    but nothing that opens a connection does.
    """
    owned = ["%s meta skuid != 0 reject with tcp reset" % match for match in matches]
    opened = "%s tcp flags & (syn | ack) == syn reject with tcp reset"
    return ["meta skuid 0 accept", *owned, *(opened % match for match in matches)]


def _nft_chain(hook: str, rules: Sequence[str]) -> str:
    head = "type filter hook %s priority 0; policy accept;" % hook
    return "chain %s {\n%s\n}\n" % (hook, "\n".join([head, *rules]))


def iptables_rules(on: bool, saved: str, addresses: Sequence[str]) -> str:
    """The transaction for `iptables-restore --noflush`, after what iptables-save printed.

    Naming a chain of our own empties it. Our chains are entered first of all, so that no
    ACCEPT of somebody else's comes before them; and once, however often this is run.
    """
    there = saved.splitlines()
    if not on and not any(line.startswith(":%s " % OUT) for line in there):
        return ""
    hooks = [("OUTPUT", OUT), ("FORWARD", FORWARD)]
    entered = ["%s -j %s" % hook for hook in hooks]
    lines = [":%s - [0:0]" % own for _, own in hooks]
    lines += ["-D " + jump for jump in entered for line in there if line == "-A " + jump]
    if on:
        lines += ["-I " + jump for jump in entered]
        lines += _iptables_output(addresses) + _iptables_forward(addresses)
    else:
        lines += ["-X " + own for _, own in hooks]
    return "\n".join(["*filter", *lines, "COMMIT", ""])


def _iptables_output(addresses: Sequence[str]) -> List[str]:
    """As _nft_output. A negated --uid-owner would also be true of sockets without an owner."""
    root = "-A %s -m owner --uid-owner 0 -j RETURN" % OUT
    owned = "-m owner --uid-owner 1-4294967294 " + _iptables_reject()
    opened = "--syn " + _iptables_reject()
    kinds = (owned, opened)
    return [root, *("-A %s -d %s -p tcp %s" % (OUT, to, kind) for to in addresses for kind in kinds)]


def _iptables_forward(addresses: Sequence[str]) -> List[str]:
    return ["-A %s -d %s -p tcp %s" % (FORWARD, to, _iptables_reject()) for to in addresses]


def _iptables_reject() -> str:
    return "-m multiport --dports %s -j REJECT --reject-with tcp-reset" % ",".join(PORTS)


def by_nft(on: bool, ipv6: bool) -> None:
    _run(["nft", "-f", "-"], nft_rules(on, ipv6))


def by_iptables(on: bool, ipv6: bool) -> None:
    for family in FAMILIES if ipv6 else FAMILIES[:1]:
        rules = iptables_rules(on, _run([family.save, "-t", "filter"]), family.addresses)
        if rules:
            _run([family.restore, "--noflush"], rules)


class Tool(NamedTuple):
    program: str
    apply: Callable[[bool, bool], None]


TOOLS = (Tool("nft", by_nft), Tool("iptables-restore", by_iptables))


def switch(on: bool, ipv6: bool) -> List[str]:
    """Rules in place by the first tool that can, or away by all; what did not work on the way.

    Raises Failed if they were to be in place and are not.
    """
    complaints = []
    for tool in TOOLS:
        if not shutil.which(tool.program):
            continue
        try:
            tool.apply(on, ipv6)
        except GuardFailed as failure:
            complaints.append(str(failure))
        else:
            if on:
                return complaints
    if on:
        raise GuardFailed("; ".join(complaints) or "neither nft nor iptables is installed")
    return complaints


def has_ipv6() -> bool:
    """False where the kernel was built or booted without it."""
    return os.path.exists("/proc/net/if_inet6")


def main() -> int:
    on = settings.current()["MetadataGuard"] == "yes"
    off = kind.load().key("MetadataGuard")
    try:
        complaints = switch(on, has_ipv6())
    except GuardFailed as failure:
        log("the metadata service cannot be kept from jobs: %s" % failure)
        log("HTCondor does not start without that, unless %s is no." % off)
        return 1
    for complaint in complaints:
        log("warning: metadata guard: " + complaint)
    if not on:
        log("warning: %s is no: jobs can read this machine's user-data" % off)
    return 0


def _run(argv: Sequence[str], text: str = "") -> str:
    """What the program prints, given `text`. Raises Failed with the first line of its complaint."""
    done = run(argv, SECONDS, text)
    if done.status != 0:
        raise GuardFailed("%s: %s" % (argv[0], done.error or "status %d" % done.status))
    return done.out
