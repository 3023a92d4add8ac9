"""What a running machine was before plans were applied to it, kept there, so that it can be given back.

Before the first step ever, the machine's packages, users and enabled units are listed; before a step
writes a file, what stands there is kept, or that nothing does; and after the last, which packages and
units have come is noted, as somebody may install others later. `remove` puts all that back. What is
not undone: packages that were there are left at the version to which a plan brought them, and so is
what such a version has come to need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from provisioner.actions import Action, Put, Run
from provisioner.plan import PlannedStep
from provisioner.remote import dpkg, rpm
from provisioner.steps import FETCH_KEY

FOLDER = "/var/lib/worker-bakery/before"
# What HTCondor, the worker, chronyd and a plan's commands make as they run; a folder as a whole.
MADE = (
    *("/etc/condor", "/usr/share/condor", "/var/lib/condor", "/var/log/condor", "/var/spool/condor"),
    *("/usr/lib/worker-bakery", "/home/prominence", "/etc/kernel/cmdline"),
    *("/etc/chrony.keys", "/var/lib/chrony", "/var/log/chrony"),
)
# The worker's own file, with its token: of one who no longer is.
WORKER_FILES = ("/etc/osg-worker.conf", "/etc/prominence-worker.conf", "/etc/worker-defaults.conf")

# How the system's packages are listed and removed: the functions that differ, before all else.
# comm wants one order, whoever logs in.
_SYSTEM = rf"""
set -e
export LC_ALL=C
folder=$1; shift
system=$(. /etc/os-release; echo " $ID ${{ID_LIKE-}} $ID${{VERSION_ID%%.*}} ")
case $system in
*" debian "*)
{dpkg.FUNCTIONS};;
*)
{rpm.FUNCTIONS};;
esac
units() {{ systemctl list-unit-files --no-legend | awk '$2 != "transient" {{print $1, $2}}' | sort; }}
users() {{ getent passwd | cut -d: -f1 | sort; }}
"""
_SAVE = rf"""{_SYSTEM}
# Of a machine that an older version began, nobody knows what it was.
if [ -e "$folder/../applied.json" ] && [ ! -e "$folder/packages" ]; then exit 0; fi
if [ ! -e "$folder/packages" ]; then
    install -d -m 0700 "$folder" "$folder/files"
    users >"$folder/users"
    units >"$folder/units"
    keep
    packages >"$folder/packages.new"
    mv "$folder/packages.new" "$folder/packages"
fi
# Where a plan failed, what it had brought is still its own.
for list in packages units; do
    [ -e "$folder/start-$list" ] || $list >"$folder/start-$list"
done
touch "$folder/kept" "$folder/absent" "$folder/folders"
for path in "$@" $(edited); do
    grep -qxF -e "$path" "$folder/kept" "$folder/absent" && continue
    if [ -e "$path" ] || [ -L "$path" ]; then
        [ -d "$path" ] && [ ! -L "$path" ] || cp -a --parents "$path" "$folder/files"
        echo "$path" >>"$folder/kept"
    else
        echo "$path" >>"$folder/absent"
        while path=$(dirname "$path") && [ ! -e "$path" ]; do echo "$path" >>"$folder/folders"; done
    fi
done
"""
# What somebody installs later is no plan's.
_NOTED_FUNCTION = r"""
noted() {
    for list in packages units; do
        [ -e "$folder/start-$list" ] || continue
        $list | comm -13 "$folder/start-$list" - >>"$folder/brought-$list"
        rm "$folder/start-$list"
    done
}
"""
_NOTE_INSTALLED = f"{_SYSTEM}{_NOTED_FUNCTION}noted\n"
_REMOVE = rf"""{_SYSTEM}{_NOTED_FUNCTION}
if [ ! -e "$folder/packages" ]; then echo "= nothing"; exit 0; fi
new() {{ sort "$folder/$1" | comm -13 - "$work/$1"; }}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

noted
for list in packages units; do
    $list >"$work/$list"
    # A version that noted nothing brought all.
    [ -e "$folder/brought-$list" ] || new $list >"$folder/brought-$list"
    sort -u "$folder/brought-$list" >"$work/brought-$list"
done

# Nothing of the worker's runs any more.
# Each change of a unit's state is a reload, which takes its time: only those that are needed.
new units >"$work/new-units"
while read -r unit state; do
    before=$(awk -v unit="$unit" '$1 == unit {{print $2}}' "$folder/units")
    case $before in
        enabled) systemctl unmask "$unit"; systemctl enable "$unit" ;;
        disabled) systemctl unmask "$unit"; systemctl disable "$unit" ;;
        masked) systemctl mask "$unit" ;;
        "")
            grep -q "^$unit " "$work/brought-units" || continue
            case $state in
                masked) systemctl unmask "$unit" ;;
                enabled*) systemctl disable "$unit" ;;
            esac
            echo "$unit" >>"$work/to-stop" ;;
        *) systemctl unmask "$unit" || true ;;
    esac
done <"$work/new-units"
[ ! -e "$work/to-stop" ] || systemctl stop $(cat "$work/to-stop") || true
nft delete table inet worker_metadata 2>/dev/null || nft delete table ip worker_metadata 2>/dev/null || true
unguard() {{ "$1" -D "$2" -j "$3" && "$1" -F "$3" && "$1" -X "$3"; }} 2>/dev/null
for filter in iptables ip6tables; do
    unguard $filter OUTPUT WORKER_METADATA_OUT || true
    unguard $filter FORWARD WORKER_METADATA_FWD || true
done
while umount /home/prominence 2>/dev/null; do :; done
umount /var/lib/condor/execute-disk 2>/dev/null || true

# Only what was not there before; and if that would take anything else along, nothing at all.
purge $(new packages | comm -12 - "$work/brought-packages")

while read -r path; do
    [ -d "$path" ] || rm -f -- "$path"
done <"$folder/absent"
for path; do
    if grep -qxF -e "$path" "$folder/absent"; then rm -rf --one-file-system -- "$path"; fi
done
# A folder that was not there stays if somebody else has put something into it since.
sort -ru "$folder/folders" | while read -r path; do
    [ ! -d "$path" ] || rmdir --ignore-fail-on-non-empty -- "$path"
done
while read -r path; do
    if [ -e "$folder/files$path" ] || [ -L "$folder/files$path" ]; then
        mkdir -p "$(dirname "$path")"
        cp -a --remove-destination -T "$folder/files$path" "$path"
    fi
done <"$folder/kept"

users >"$work/users"
for user in $(new users | grep -xE 'slot[0-9]+|condor|chrony|cvmfs' || true); do
    userdel "$user"
done
systemctl daemon-reload
rm -rf /run/worker-bakery "$(dirname "$folder")"
echo "= given back"
"""


def save(steps: Iterable[PlannedStep]) -> tuple[str, ...]:
    """The command that keeps what these steps write over. It is safe to run again."""
    written = [path for step in steps for action in step.actions for path in _written(action)]
    return ("sh", "-c", _SAVE, "save", FOLDER, *MADE, *WORKER_FILES, *written)


def note_installed() -> tuple[str, ...]:
    """The command that tells what these steps have brought, when they are done."""
    return ("sh", "-c", _NOTE_INSTALLED, "saved", FOLDER)


def _written(action: Action) -> Iterator[str]:
    match action:
        case Put(path):
            yield path
        case Run(("sh", _, script, _, _, path, _)) if script == FETCH_KEY:
            yield path


def remove() -> tuple[str, ...]:
    """The command that gives the machine back; a failed one goes on when it is run again.

    Of the lines that it prints, one is "= given back", or "= nothing" where nothing is known; and for
    each package of the plan that others have come to need one is "= stays: PACKAGE".
    """
    return ("sh", "-c", _REMOVE, "remove", FOLDER, *MADE)
