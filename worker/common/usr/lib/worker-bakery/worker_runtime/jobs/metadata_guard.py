"""`worker guard`: blocks jobs from the cloud's metadata service, which hands out the user-data.

Only root may open connections to it; forwarded traffic, which comes from containers, is rejected. The rules
are in a table of our own in nftables or, where that does not work, in chains of our own in iptables.
Another run replaces them in one transaction. The functions that make rules are pure; `switch` passes them
to the tool.
"""

import os
import shutil
from typing import Callable, List, NamedTuple, Sequence

from worker_runtime.configuration import kind, settings
from worker_runtime.system.command import run
from worker_runtime.system.console import log

TABLE = "worker_metadata"
OUT, FORWARD = "WORKER_METADATA_OUT", "WORKER_METADATA_FWD"
SECONDS = 60  # for one tool; iptables may wait for a lock of another process

# Sources: the clouds' documentation and cloud-init's datasources. The addresses are link-local or private
# or, like Azure's, used for nothing else.
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
# Only TCP, and only these ports, because on Google's cloud the same address is the DNS server. The last is
# the WireServer's second port, which serves the settings of extensions.
PORTS = ("80", "443", "32526")


class GuardFailed(Exception):
    """Why the rules are not in place, in words."""


class Family(NamedTuple):
    """The programs and addresses of one address family, which iptables keeps apart."""

    save: str
    restore: str
    addresses: Sequence[str]


FAMILIES = (
    Family("iptables-save", "iptables-restore", IPV4),
    Family("ip6tables-save", "ip6tables-restore", IPV6),
)


def nft_rules(on: bool, ipv6: bool) -> str:
    """The transaction for `nft -f`: delete our table and, if `on`, add it again.

    A kernel without IPv6 may not know the family inet.
    """
    family = "inet" if ipv6 else "ip"
    # A missing table cannot be deleted, but an existing one can be added.
    delete = "add table {0} {1}\ndelete table {0} {1}\n".format(family, TABLE)
    if not on:
        return delete
    targets = ["ip daddr { %s }" % ", ".join(IPV4)]
    if ipv6:
        targets.append("ip6 daddr { %s }" % ", ".join(IPV6))
    matches = ["%s tcp dport { %s }" % (target, ", ".join(PORTS)) for target in targets]
    return delete + "table %s %s {\n%s%s}\n" % (
        family,
        TABLE,
        _nft_chain("output", _nft_output(matches)),
        _nft_chain("forward", [match + " reject with tcp reset" for match in matches]),
    )


def _nft_output(matches: Sequence[str]) -> List[str]:
    """Rules by the owner of the socket: root of another user namespace is not root here.

    A closed socket has no owner any more. So the last packets of root's connections pass, but nothing that
    opens a connection does.
    """
    owned = ["%s meta skuid != 0 reject with tcp reset" % match for match in matches]
    opened = "%s tcp flags & (syn | ack) == syn reject with tcp reset"
    return ["meta skuid 0 accept", *owned, *(opened % match for match in matches)]


def _nft_chain(hook: str, rules: Sequence[str]) -> str:
    head = "type filter hook %s priority 0; policy accept;" % hook
    return "chain %s {\n%s\n}\n" % (hook, "\n".join([head, *rules]))


def iptables_rules(on: bool, saved: str, addresses: Sequence[str]) -> str:
    """The transaction for `iptables-restore --noflush`; `saved` is the output of iptables-save.

    Naming a chain empties it. Our chains are entered first, so that no ACCEPT of other rules comes before
    them, and only once, however often this runs.
    """
    existing = saved.splitlines()
    if not on and not any(line.startswith(":%s " % OUT) for line in existing):
        return ""
    hooks = [("OUTPUT", OUT), ("FORWARD", FORWARD)]
    entered = ["%s -j %s" % hook for hook in hooks]
    lines = [":%s - [0:0]" % own for _, own in hooks]
    lines += ["-D " + jump for jump in entered for line in existing if line == "-A " + jump]
    if on:
        lines += ["-I " + jump for jump in entered]
        lines += _iptables_output(addresses) + _iptables_forward(addresses)
    else:
        lines += ["-X " + own for _, own in hooks]
    return "\n".join(["*filter", *lines, "COMMIT", ""])


def _iptables_output(addresses: Sequence[str]) -> List[str]:
    """As _nft_output. A negated --uid-owner would also match sockets without an owner."""
    root = "-A %s -m owner --uid-owner 0 -j RETURN" % OUT
    owned = "-m owner --uid-owner 1-4294967294 " + _iptables_reject()
    opened = "--syn " + _iptables_reject()
    matches = (owned, opened)
    return [root, *("-A %s -d %s -p tcp %s" % (OUT, to, kind) for to in addresses for kind in matches)]


def _iptables_forward(addresses: Sequence[str]) -> List[str]:
    return ["-A %s -d %s -p tcp %s" % (FORWARD, to, _iptables_reject()) for to in addresses]


def _iptables_reject() -> str:
    return "-m multiport --dports %s -j REJECT --reject-with tcp-reset" % ",".join(PORTS)


def by_nft(on: bool, ipv6: bool) -> None:
    """Switch the rules by nftables. Raises GuardFailed."""
    _run(["nft", "-f", "-"], nft_rules(on, ipv6))


def by_iptables(on: bool, ipv6: bool) -> None:
    """Switch the rules by iptables and ip6tables. Raises GuardFailed."""
    for family in FAMILIES if ipv6 else FAMILIES[:1]:
        rules = iptables_rules(on, _run([family.save, "-t", "filter"]), family.addresses)
        if rules:
            _run([family.restore, "--noflush"], rules)


class Tool(NamedTuple):
    """A program, and the function that switches the rules by it."""

    program: str
    apply: Callable[[bool, bool], None]


TOOLS = (Tool("nft", by_nft), Tool("iptables-restore", by_iptables))


def switch(on: bool, ipv6: bool) -> List[str]:
    """Install the rules by the first tool that works, or remove them by all tools; return the errors.

    Raises GuardFailed if the rules could not be installed.
    """
    errors = []
    for tool in TOOLS:
        if not shutil.which(tool.program):
            continue
        try:
            tool.apply(on, ipv6)
        except GuardFailed as failure:
            errors.append(str(failure))
        else:
            if on:
                return errors
    if on:
        raise GuardFailed("; ".join(errors) or "neither nft nor iptables is installed")
    return errors


def has_ipv6() -> bool:
    """Whether the kernel supports IPv6; it may have been built or booted without."""
    return os.path.exists("/proc/net/if_inet6")


def main() -> int:
    """Switch the rules according to the settings; 1 if that fails, so that HTCondor does not start."""
    on = settings.current()["MetadataGuard"] == "yes"
    off = kind.load().key("MetadataGuard")
    try:
        errors = switch(on, has_ipv6())
    except GuardFailed as failure:
        log("cannot block jobs from the metadata service: %s" % failure)
        log("HTCondor does not start without the guard, unless %s is no." % off)
        return 1
    for complaint in errors:
        log("warning: metadata guard: " + complaint)
    if not on:
        log("warning: %s is no: jobs can read this machine's user-data" % off)
    return 0


def _run(argv: Sequence[str], text: str = "") -> str:
    """The output of the program with `text` on stdin.

    Raises GuardFailed with the first line of its error.
    """
    done = run(argv, SECONDS, text)
    if done.status != 0:
        raise GuardFailed("%s: %s" % (argv[0], done.error or "status %d" % done.status))
    return done.out
