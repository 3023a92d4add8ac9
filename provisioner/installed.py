"""What the package manager of a machine has installed, and from which repositories: rows of text.

    S apt|rpm                    the package system
    A ARCHITECTURE               of the system, in the words of the package manager
    O NAME=VALUE                 a line of os-release(5)
    P NAME ARCHITECTURE VERSION  an installed package; VERSION of rpm is [EPOCH:]VERSION-RELEASE
    M NAME ARCHITECTURE VERSION SOURCE SOURCE-VERSION SIZE SUPPLIER
                                 its source package (of rpm the file name), its size (KiB, of rpm bytes)
    L NAME LICENSE               a license that the copyright file (DEP-5) or rpm's tag of a package states
    F PATH LINE                  a line of a file that defines repositories or their settings
    K PATH BASE64                a line of a keyring that such a file names
    D SHA256                     the digest of an InRelease or Release file that apt has read

Fields are separated by tabs. The script only reads: it runs after the seal. rpm locks and repairs each
database that it opens, therefore it gets a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from provisioner.actions import Run
from provisioner.events import Monitor
from provisioner.targets import OnLine

FOLDER = "/run/worker-bakery"  # of the temporary repositories, with both engines
_ROWS = 100  # of an event; a program between us may limit the length of a line

SCRIPT = r"""
set -eu
tab=$(printf '\t')
folder=$1
show() { for file; do [ ! -f "$file" ] || sed "s|^|F$tab$file$tab|" "$file"; done; }
sed "s/^/O$tab/" /etc/os-release
if command -v apt-get >/dev/null; then
    printf 'S\tapt\nA\t%s\n' "$(dpkg --print-architecture)"
    which='${db:Status-Abbrev}\t${Package}\t${Architecture}\t${Version}'
    about='${source:Package}\t${source:Version}\t${Installed-Size}\t${Maintainer}'
    dpkg-query -W -f="$which\n" | sed -n "s/^[ih]i *$tab/P$tab/p"
    dpkg-query -W -f="$which\t$about\n" | sed -n "s/^[ih]i *$tab/M$tab/p"
    if command -v awk >/dev/null; then
        awk 'FNR == 1 { dep5 = /^Format/ }
            dep5 && /^License:/ { split(FILENAME, part, "/"); print "L\t" part[5] "\t" $0 }' \
            /usr/share/doc/*/copyright 2>/dev/null | sort -u
    fi
    set -- /etc/apt/sources.list.d/* "$folder"/bake.sources.list "$folder"/sources.list.d/*
    show "$@"
    keys=$(cat "$@" 2>/dev/null | sed -n 's/^Signed-By: *//p; s/.*signed-by=\([^] ]*\).*/\1/p' |
        tr ', ' '\n\n' | grep '^/' | sort -u) || keys=
    for key in $keys /etc/apt/trusted.gpg.d/*; do
        [ ! -f "$key" ] || base64 -w 76 "$key" | sed "s|^|K$tab$key$tab|"
    done
    for file in "$folder"/lists/*Release; do
        [ ! -f "$file" ] || printf 'D\t%s\n' "$(sha256sum "$file" | cut -d' ' -f1)"
    done
elif command -v rpm >/dev/null; then
    printf 'S\trpm\nA\t%s\n' "$(rpm --eval '%{_arch}')"
    mkdir -p "$folder"
    for base in /usr/lib/sysimage/rpm /var/lib/rpm; do
        [ -e "$base/Packages" ] || [ -e "$base/Packages.db" ] || [ -e "$base/rpmdb.sqlite" ] || continue
        rm -rf "$folder/rpmdb"
        cp -r "$base" "$folder/rpmdb"
        which='%{NAME}\t%{ARCH}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}'
        about='%{SOURCERPM}\t\t%{LONGSIZE}\t%{VENDOR}'
        rpm --dbpath "$folder/rpmdb" --nosignature --nodigest -qa \
            --qf "P\t$which\nM\t$which\t$about\nL\t%{NAME}\t%{LICENSE}\n"
        rm -rf "$folder/rpmdb"
        break
    done
    show /etc/yum.repos.d/*.repo /etc/dnf/vars/* /etc/yum/vars/*
fi
"""


# A bake that resumes does not repeat the step that reads the lists. dnf uses its own for two days.
_REFRESH = """\
if command -v apt-get >/dev/null; then
    [ "$1" = first ] || apt-get -q -y update
elif command -v dnf >/dev/null; then
    dnf -q clean expire-cache
elif command -v yum >/dev/null; then
    yum -q clean expire-cache
fi
"""


def refresh(*, resumed: bool) -> tuple[str, ...]:
    """The command that makes the package manager read the metadata of its repositories again."""
    return ("sh", "-ec", _REFRESH, "refresh", "resumed" if resumed else "first")


class Runs(Protocol):
    """The part of a target that is needed."""

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None: ...


def command() -> Run:
    """The command that prints the rows."""
    return Run(("sh", "-c", SCRIPT, "installed", FOLDER))


def report(target: Runs, monitor: Monitor, steps: int) -> None:
    """Emit the rows as events: {"event": "installed", "steps": 7, "rows": ["P\\tbash\\t…", …]}.

    `steps` is the number of steps of the plan that have been applied.
    """
    rows: list[str] = []
    target.run(command().argv, rows.append)
    for part in _parts(rows):
        monitor.emit({"event": "installed", "steps": steps, "rows": part})


def _parts(rows: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(rows), _ROWS):
        yield list(rows[first : first + _ROWS])
