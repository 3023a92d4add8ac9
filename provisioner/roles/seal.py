"""The last role removes everything specific to one machine or to the build: identities, secrets, logs.

TRACES combines the default operations of virt-sysprep, systemd's "Building Images Safely", `cloud-init
clean` and the state of HTCondor. tests/image/test_hygiene.py checks images for the same list.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from provisioner.packages import repositories
from provisioner.roles import Context, Family, selinux
from provisioner.roles.base import POLICY
from provisioner.steps import Command, File, Step

# The content of /etc/machine-id that makes systemd set a new one and treat the boot as the first, see
# machine-id(5). systemd in EL7 (219) and EL8 (239) supports an empty file only.
UNINITIALIZED = "uninitialized\n"


def machine_id(family: Family) -> str:
    """The content of /etc/machine-id in images of this family."""
    return "" if family in ("el7", "el8") else UNINITIALIZED


@dataclass(frozen=True)
class Trace:
    """Files to remove. `pattern` is a shell glob; matches are removed recursively.

    With `what` "files", only regular files below the matches are removed. Matches of the glob `spared`
    stay.
    """

    pattern: str
    why: str
    what: Literal["all", "files"] = "all"
    spared: str = ""


TRACES: tuple[Trace, ...] = (
    # identity: must differ between two machines of the same image
    Trace("/etc/ssh/ssh_host_*", "ssh host keys"),
    Trace("/var/lib/dbus/machine-id", "a copy of the machine-id"),
    Trace("/etc/hostname", "host name"),
    Trace("/var/lib/systemd/random-seed", "random seed"),
    Trace("/var/lib/systemd/credential.secret", "key of systemd-creds"),
    Trace("/boot/loader/random-seed", "boot loader's random seed"),
    Trace("/efi/loader/random-seed", "boot loader's random seed"),
    Trace("/var/lib/NetworkManager/*", "network leases and keys"),
    Trace("/var/lib/dhcp/*", "DHCP leases"),
    Trace("/var/lib/dhclient/*", "DHCP leases"),
    Trace("/var/lib/systemd/network/*", "DHCP leases"),
    Trace("/etc/udev/rules.d/70-persistent-net.rules", "network card addresses"),
    # secrets
    Trace("/etc/osg-worker.conf", "a worker's token and Start"),
    Trace("/etc/prominence-worker.conf", "a worker's token"),
    Trace("/etc/condor/tokens.d/*", "HTCondor tokens"),
    Trace("/etc/condor/passwords.d/*", "HTCondor signing keys and pool passwords"),
    Trace("/root/.condor", "a user's HTCondor tokens"),
    Trace("/root/.ssh", "root's keys"),
    Trace("/home/*", "home directories"),
    Trace("/root/.netrc", "passwords"),
    Trace("/root/.aws", "cloud credentials"),
    Trace("/root/.config", "a user's settings"),
    Trace("/root/.cache", "caches of pip and others"),
    Trace("/root/.*_history", "shell history"),
    Trace("/etc/ssl/private/ssl-cert-snakeoil.key", "a private key made at installation"),
    Trace("/etc/pki/consumer/*", "a machine's identity at Red Hat's subscription service"),
    Trace("/etc/pki/entitlement/*", "keys of a subscription"),
    Trace("/var/lib/rhsm/*", "a machine's subscription"),
    Trace("/etc/sysconfig/rhn/systemid", "a machine's identity at Satellite"),
    Trace("/etc/yum.repos.d/redhat.repo", "repositories of a subscription"),
    Trace("/etc/NetworkManager/system-connections/*", "networks and their passwords"),
    # state that must be created at the first boot
    Trace("/var/lib/cloud/*", "cloud-init's state of an instance"),
    Trace("/var/lib/condor/execute/*", "job scratch"),
    Trace("/var/lib/condor/spool/*", "job queue"),
    Trace("/var/lib/private/systemd/*", "state of systemd's services"),
    # the build: mirrors, proxies, packages, logs
    Trace(POLICY, "the policy against starting services during the build"),
    Trace("/etc/apt/sources.list", "the build machine's mirror"),
    Trace("/etc/apt/sources.list.d/*", "the build machine's mirror", spared=f"{repositories.APT}*"),
    Trace("/etc/apt/apt.conf.d/*proxy*", "the build machine's proxy"),
    Trace("/etc/apt/auth.conf.d/*", "passwords of mirrors"),
    Trace("/var/lib/apt/lists/*", "package lists"),
    Trace("/var/cache/apt/*.bin", "package lists"),
    Trace("/var/cache/apt/archives/*.deb", "downloaded packages"),
    Trace("/var/cache/debconf/*-old", "backups"),
    Trace("/var/cache/ldconfig/aux-cache", "a cache that is not reproducible"),
    Trace("/var/lib/dpkg/*-old", "backups"),
    Trace("/var/cache/yum/*", "package lists and downloaded packages"),
    Trace("/var/cache/dnf/*", "package lists and downloaded packages"),
    Trace("/var/lib/dnf/repos/*", "countme state of dnf"),
    Trace("/var/lib/yum/uuid", "an id that yum sends to repositories"),
    Trace("/var/lib/rpm/__db*", "locks of rpm's database"),
    Trace("/root/anaconda-ks.cfg", "the vendor's installation settings"),
    Trace("/root/original-ks.cfg", "the vendor's installation settings"),
    Trace("/etc/*-", "backups of the user database"),
    Trace("/etc/.pwd.lock", "lock"),
    Trace("/var/log", "logs", "files"),
    Trace("/tmp/*", "temporary files"),
    Trace("/tmp/.[!.]*", "temporary files"),
    Trace("/var/tmp/*", "temporary files"),
    Trace("/var/crash/*", "crash dumps"),
    Trace("/var/spool/cron/crontabs/*", "a user's cron jobs"),
    Trace("/var/mail/*", "mail"),
)


def seal(context: Context) -> tuple[Step, ...]:
    """The steps: remove TRACES, reset the machine-id, label files for SELinux."""
    return (
        # apt sources are removed: cloud-init writes those of the distribution or cloud at the first boot.
        Command("remove traces", ("sh", "-c", removal_script())),
        File("/etc/machine-id", machine_id(context.family).encode(), 0o444),
        *selinux.labels(context),
    )


def removed_by(path: str) -> Trace | None:
    """The trace whose removal removes a file at this absolute path; None if it stays."""
    return next((trace for trace in TRACES if _removes(trace, path)), None)


def _removes(trace: Trace, path: str) -> bool:
    patterns, parts = trace.pattern.split("/"), path.split("/")
    match = parts[: len(patterns)]
    if trace.spared and fnmatchcase("/".join(match), trace.spared):
        return False
    return len(parts) >= len(patterns) and all(map(_matches, match, patterns))


def _matches(name: str, pattern: str) -> bool:
    """As a shell matches a component of a path: a wildcard does not match a leading dot."""
    hidden = name.startswith(".") and not pattern.startswith(".")
    return fnmatchcase(name, pattern) and not hidden


def removal_script() -> str:
    """A shell script that removes TRACES. The machine's shell expands the globs, which are constants."""
    return "\n".join(["set -e", *map(_removal, TRACES)])


def _removal(trace: Trace) -> str:
    if trace.what == "files":
        return f"find {trace.pattern} -xdev -type f -delete"
    if trace.spared:
        body = f'case "$path" in {trace.spared}) ;; *) rm -rf -- "$path" ;; esac'
        return f"for path in {trace.pattern}; do {body}; done"
    return f"rm -rf -- {trace.pattern}"
