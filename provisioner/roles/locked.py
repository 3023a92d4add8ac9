"""Replay a lock: exactly its versions are installed, with apt by pins, with yum and dnf by includepkgs.

The pins and the list are files of the plan, so that both engines use them and the id depends on them; they
are removed before the seal. A version that no repository offers any more, and that is not installed
either, ends the bake before packages are installed from these lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from provisioner.actions import Action, Run
from provisioner.steps import Command, File, Files, Manager, PackageLists, Packages, Refresh, Step

PINS = "/etc/apt/preferences.d/worker-lock"
SETTINGS = "/etc/apt/apt.conf.d/90worker-lock"
LIST = "/etc/worker-lock"
GONE = "The lock has versions that no repository offers any more: "  # printed before their names
DIFFERS = "The installed packages differ from the lock: "
_FIRST = 20  # names in a message

# $1 is LIST. `known` are versions that are offered, `installed` those that are installed.
_COMPARE = f"""\
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sort -u "$1" >"$work/locked"
gone() {{
    cut -d' ' -f1 "$work/known" | sort -u >"$work/names"
    sort -u "$work/known" "$work/installed" | comm -23 "$work/locked" - |
        while read -r name version; do
            # Packages of repositories that a later role defines are not known yet.
            ! grep -qxF "$name" "$work/names" || echo "$name $version"
        done >"$work/gone"
    [ -s "$work/gone" ] || return 0
    echo "{GONE}$(head -n {_FIRST} "$work/gone" | tr '\\n' ',' | sed 's/,$//; s/,/, /g')"
    exit 1
}}
same() {{
    sort -u "$work/installed" | comm -3 "$work/locked" - | tr '\\t' '+' >"$work/differ"
    [ -s "$work/differ" ] || return 0
    echo "{DIFFERS}$(head -n {_FIRST} "$work/differ" | tr '\\n' ',' | sed 's/,$//; s/,/, /g')"
    exit 1
}}
"""
_APT_INSTALLED = """\
dpkg-query -W -f='${db:Status-Abbrev} ${Package} ${Version}\\n' | sed -n 's/^[ih]i *//p' \
>"$work/installed"
"""
_APT_GONE = f"""{_COMPARE}{_APT_INSTALLED}\
cut -d' ' -f1 "$1" | xargs apt-cache madison 2>/dev/null |
    awk -F ' *[|] *' '{{ sub(/^ */, "", $1); print $1, $2 }}' >"$work/known"
gone
"""
_RPM_INSTALLED = """\
rpm -qa --qf '%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n' | grep -v '^gpg-pubkey ' \
>"$work/installed"
"""
_DNF_GONE = f"""{_COMPARE}{_RPM_INSTALLED}\
dnf -q repoquery --qf '%{{name}} %{{evr}}\\n' $(cut -d' ' -f1 "$1") | grep . >"$work/known" || true
gone
"""


@dataclass(frozen=True)
class Locked:
    """The packages of a lock: name, architecture and version (of rpm: [EPOCH:]VERSION-RELEASE)."""

    packages: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class _Included:
    """A step whose yum or dnf sees only the packages of the lock."""

    step: Step
    option: str

    @property
    def title(self) -> str:
        return self.step.title

    def actions(self) -> tuple[Action, ...]:
        return tuple(map(self._action, self.step.actions()))

    def _action(self, action: Action) -> Action:
        match action:
            case Run(("yum" | "dnf" as program, "-y", *rest)) if "makecache" not in rest:
                return Run((program, "-y", self.option, *rest))
        return action


def steps(role: str, made: Iterable[Step], manager: Manager, locked: Locked) -> Iterator[Step]:
    """The steps of a role with those that make it install the versions of the lock."""
    if role == "seal":
        yield from _end(manager, locked)
    for step in made:
        if isinstance(step, Refresh):
            yield from _begin(manager, locked)
        if isinstance(step, (Refresh, Packages)) and manager != "apt":
            yield _Included(step, _includepkgs(locked))
        else:
            yield step
        if isinstance(step, PackageLists):
            yield from _check(manager)


def _begin(manager: Manager, locked: Locked) -> Iterator[Step]:
    listed = File(LIST, _listed(locked))
    if manager != "apt":
        yield listed
        yield from _check(manager)
        return
    # -y alone does not allow downgrades: the base may have newer packages than the lock.
    settings = File(SETTINGS, b'APT::Get::allow-downgrades "true";\n')
    number = len(locked.packages)
    yield Files(
        f"pin {number} packages to the versions of the lock", (listed, File(PINS, _pins(locked)), settings)
    )
    yield PackageLists("apt")
    yield from _check(manager)


def _check(manager: Manager) -> Iterator[Step]:
    scripts = {"apt": _APT_GONE, "dnf": _DNF_GONE}
    if manager in scripts:  # repoquery of EL7 is not part of yum
        yield Command("check the versions of the lock", ("sh", "-ec", scripts[manager], "lock", LIST))


def _end(manager: Manager, locked: Locked) -> Iterator[Step]:
    installed = _APT_INSTALLED if manager == "apt" else _RPM_INSTALLED
    script = f'{_COMPARE}{installed}same\nrm -f -- "$@"\n'
    yield Command("compare the packages with the lock", ("sh", "-ec", script, "lock", LIST, PINS, SETTINGS))


def _listed(locked: Locked) -> bytes:
    rows = sorted({f"{name} {version}" for name, _, version in locked.packages if name != "gpg-pubkey"})
    return "".join(f"{row}\n" for row in rows).encode()


def _pins(locked: Locked) -> bytes:
    """See apt_preferences(5): more than 1000 also downgrades."""
    rows = sorted({(name, version) for name, _, version in locked.packages})
    return "\n".join(
        f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n" for name, version in rows
    ).encode()


def _includepkgs(locked: Locked) -> str:
    """See yum.conf(5). A name with epoch is NAME-EPOCH:VERSION-RELEASE.ARCHITECTURE."""
    names = sorted(f"{name}-{version}.{arch}" for name, arch, version in locked.packages)
    return f"--setopt=includepkgs={','.join(names)}"
