"""The identity of a machine: what no other machine of its image may have, and what it keeps at a reboot.

A machine answers one script with *facts*, pairs of a name and a value. Two machines share the facts that
are in both sets; a reboot may change none of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

Fact = tuple[str, str]
Facts = frozenset[Fact]

FINISHED, INSTANCE, WORKER_FILE, ONCE = "cloud-init", "instance-id", "worker's file", "once per instance"
SEED = "random seed"
_SEED_FILE = "var/lib/systemd/random-seed"


@dataclass(frozen=True)
class Identity:
    """A name of facts, and what an image with which two machines share a value needs.

    `required`: every machine has a value.
    """

    name: str
    remedy: str
    required: bool = True


IDENTITIES = (
    Identity(
        "machine-id",
        "/etc/machine-id of the image must be `uninitialized` (EL7 and EL8: empty), and the image must not "
        "have /var/lib/dbus/machine-id, from which systemd takes it.",
    ),
    Identity("D-Bus id", "Remove /var/lib/dbus/machine-id from the image."),
    Identity(
        "host name",
        "Remove /etc/hostname from the image, and preserve_hostname from its cloud-init configuration.",
    ),
    Identity(
        "ssh host key",
        "Remove /etc/ssh/ssh_host_* from the image; cloud-init replaces them with ssh_deletekeys only.",
    ),
    Identity(SEED, f"Remove /{_SEED_FILE} from the image.", required=False),
    Identity("cloud-init instance", "Remove /var/lib/cloud/* from the image."),
)
_NAMES = tuple(identity.name for identity in IDENTITIES)

# The bus itself does not tell its id, by Debian's policy; libdbus searches the two files in this order. The
# marks in sem/ are cloud-init's: one for each module that it runs once per instance, or once.
_QUESTIONS = r"""
exec 2>/dev/null
fact() { [ -z "$2" ] || printf '%s\t%s\n' "$1" "$2"; }
cloud=/var/lib/cloud
fact machine-id "$(cat /etc/machine-id)"
fact 'D-Bus id' "$(dbus-uuidgen --get || cat /var/lib/dbus/machine-id || cat /etc/machine-id)"
fact 'host name' "$(uname -n)"
fact 'host name' "$(cat /etc/hostname)"
for key in /etc/ssh/ssh_host_*_key.pub; do
    fact 'ssh host key' "$(ssh-keygen -l -f "$key" | sed -E 's/^[0-9]+ ([^ ]+) .*\(([^ ]+)\)$/\2 \1/')"
done
fact 'random seed' "$(sha256sum /var/lib/systemd/random-seed | cut -d ' ' -f 1)"
for folder in $cloud/instances/*; do fact 'cloud-init instance' "${folder##*/}"; done
fact 'cloud-init instance' "$(grep -vx NO_PREVIOUS_INSTANCE_ID $cloud/data/previous-instance-id)"
[ ! -e /run/cloud-init/result.json ] || fact cloud-init finished
fact instance-id "$(cat $cloud/data/instance-id)"
fact "worker's file" "$(sha256sum "$1" | cut -d ' ' -f 1)"
[ ! -e "$1" ] || fact 'once per instance' "$1, written at $(stat -c '%Y, inode %i' "$1")"
for mark in $cloud/instance/sem/* $cloud/sem/*; do
    [ ! -e "$mark" ] || fact 'once per instance' "${mark##*/}, $(tr '\n' ' ' <"$mark")"
done
"""


def questions(worker_file: str) -> list[str]:
    """Return the command whose output `parse` reads; `worker_file` is the file that user-data writes."""
    return ["sh", "-c", _QUESTIONS, "identity", worker_file]


def parse(output: str) -> Facts:
    """Read the facts that a machine has printed. Raises ValueError: a line is incomplete."""
    return frozenset(_fact(line) for line in output.splitlines())


def _fact(line: str) -> Fact:
    name, value = line.split("\t")
    return name, value.strip()


def of_image(root: Path) -> Facts:
    """Return the facts that a machine has from its image, but does not show any more.

    systemd replaces the random seed at boot, after the kernel has got the one of the image.
    """
    seed = root / _SEED_FILE
    content = seed.read_bytes() if seed.is_file() else b""
    return frozenset({(SEED, hashlib.sha256(content).hexdigest())} if content else ())


def values(facts: Facts, name: str) -> list[str]:
    """Return the values of this name, sorted."""
    return sorted(value for known, value in facts if known == name)


def missing(facts: Facts) -> list[str]:
    """Return the names of which a machine must have a value and has none."""
    return [one.name for one in IDENTITIES if one.required and not values(facts, one.name)]


def shared(first: Facts, second: Facts) -> list[Fact]:
    """Return what two machines have in common, in the order of IDENTITIES."""
    return _ordered(first & second)


def explain(facts: list[Fact]) -> str:
    """Return a line for each shared fact: what it is, and what to do."""
    remedies = {one.name: one.remedy for one in IDENTITIES}
    return "\n".join(f"  {name} {value}: {remedies[name]}" for name, value in facts)


def compared(first: Facts, second: Facts) -> str:
    """Return the names of what was compared, in words."""
    names = {name for name, _ in first | second}
    return ", ".join(name if name in names else f"no {name}" for name in _NAMES)


def changed(before: Facts, after: Facts) -> list[str]:
    """Return, in words, what a reboot has changed or cloud-init has run again; only the seed may change."""
    lost, new = (_ordered(one - other) for one, other in ((before, after), (after, before)))
    of_identity = [
        f"{name}: {values(frozenset(lost), name)} became {values(frozenset(new), name)}"
        for name in _NAMES
        if name != SEED and name in {name for name, _ in (*lost, *new)}
    ]
    again = [re.sub(",.*", "", value) for value in values(after - before, ONCE)]
    return of_identity + [f"run or written again: {name}" for name in again]


def _ordered(facts: Set[Fact]) -> list[Fact]:
    return [(name, value) for name in _NAMES for value in values(frozenset(facts), name)]
