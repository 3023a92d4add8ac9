"""The last role removes everything specific to one machine or to the build: identities, secrets, logs.

TRACES combines the default operations of virt-sysprep, systemd's "Building Images Safely", `cloud-init
clean` and the state of HTCondor. tests/image/test_hygiene.py checks images for the same list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from provisioner.packages import repositories
from provisioner.roles import Context, Family, identity, selinux
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
    """Files to remove. `pattern` is a path; its last component is a glob that also matches hidden names.

    Matches are removed recursively. With `what` "files", only regular files are: the matches themselves and
    those below them. Matches of the glob `spared` stay.
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
    Trace("/root/.git-credentials", "passwords"),
    Trace("/root/.npmrc", "passwords of registries"),
    Trace("/root/.pypirc", "passwords of registries"),
    Trace("/root/.docker", "passwords of registries"),
    Trace("/root/.aws", "cloud credentials"),
    Trace("/root/.azure", "cloud credentials"),
    Trace("/root/.boto", "cloud credentials"),
    Trace("/root/.kube", "cloud credentials"),
    Trace("/root/.gnupg", "a user's keys"),
    Trace("/root/.config", "a user's settings"),
    Trace("/root/.local", "a user's data"),
    Trace("/root/.cache", "caches of pip and others"),
    Trace("/root/.*_history", "history of a shell"),
    Trace("/root/.lesshst", "history of less"),
    Trace("/root/.viminfo", "history of vim"),
    Trace("/root/.wget-hsts", "history of wget"),
    Trace("/etc/krb5.keytab", "a Kerberos key"),
    Trace("/var/lib/sss/db/*", "cached accounts and passwords"),
    Trace("/var/lib/waagent/*", "what Azure gave to an instance"),
    Trace("/var/lib/amazon/ssm/*", "a registration at AWS"),
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
    Trace("/var/lib/systemd/coredump/*", "core dumps"),
    Trace("/var/lib/systemd/pstore/*", "crash dumps"),
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
    Trace("/var/backups/*", "backups, of the user database too"),
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
    Trace("/var/tmp/*", "temporary files"),
    Trace("/var/crash/*", "crash dumps"),
    Trace("/var/spool/cron/crontabs/*", "a user's cron jobs"),
    Trace("/var/spool/cron/root", "root's cron jobs"),
    Trace("/var/mail/*", "mail"),
)


def seal(context: Context) -> tuple[Step, ...]:
    """The steps: remove TRACES, reset the machine-id, add the console's line, label files for SELinux."""
    return (
        # apt sources are removed: cloud-init writes those of the distribution or cloud at the first boot.
        Command("remove traces", ("sh", "-c", removal_script())),
        File("/etc/machine-id", machine_id(context.family).encode(), 0o444),
        *identity.issue(context),
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
    return len(parts) >= len(patterns) and all(map(fnmatchcase, match, patterns))


def removal_script(traces: Iterable[Trace] = TRACES) -> str:
    """A shell script that removes the traces."""
    return "\n".join(["set -e", *(_find(trace, "-exec rm -rf -- {} +") for trace in traces)])


def search_script(trace: Trace) -> str:
    """A shell script that prints what is left of a trace."""
    return _find(trace, "-print")


def _find(trace: Trace, action: str) -> str:
    """Unlike a glob of a shell, `find -name` also matches hidden names."""
    folder, _, name = trace.pattern.rpartition("/")
    if trace.what == "files":
        return f"if [ -e {trace.pattern} ]; then find -H {trace.pattern} -xdev -type f {action}; fi"
    spared = f" ! -path '{trace.spared}'" if trace.spared else ""
    tests = f"-mindepth 1 -maxdepth 1 -name '{name}'{spared}"
    return f"if [ -d {folder} ]; then find -H {folder} {tests} {action}; fi"
