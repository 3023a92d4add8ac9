"""Save the original state of a remote machine on that machine, and restore it.

Before the first step, the packages, users and enabled units are listed. Before a step writes a file, the
existing file is saved, or that there is none. After the last step, the added packages and units are noted,
because others may be installed later. `remove` restores the saved state, and removes the accounts that
steps of the role site have added; their homes and the effects of its commands stay. Upgrades are not
undone: packages that were there before stay at their new version, with the dependencies of that version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from provisioner.actions import Action, Put, Run
from provisioner.plan import PlannedStep
from provisioner.remote import dpkg, rpm
from provisioner.roles import identity
from provisioner.roles.site.accounts import ADD_USER
from provisioner.steps import FETCH_KEY

FOLDER = "/var/lib/worker-bakery/before"
# Files and folders that HTCondor, the worker, chronyd and the commands of plans create at run time.
MADE = (
    *("/etc/condor", "/usr/share/condor", "/var/lib/condor", "/var/log/condor", "/var/spool/condor"),
    *("/usr/lib/worker-bakery", "/home/prominence", "/etc/kernel/cmdline"),
    *("/etc/chrony.keys", "/var/lib/chrony", "/var/log/chrony"),
)
# The worker's file, with its token. It is not restored.
WORKER_FILES = ("/etc/osg-worker.conf", "/etc/prominence-worker.conf", "/etc/worker-defaults.conf")

# Defines the functions that differ by package manager. LC_ALL: comm requires the same order for any login.
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
# A version that did not save the original state has applied a plan: it is unknown.
if [ -e "$folder/../applied.json" ] && [ ! -e "$folder/packages" ]; then exit 0; fi
if [ ! -e "$folder/packages" ]; then
    install -d -m 0700 "$folder" "$folder/files"
    users >"$folder/users"
    units >"$folder/units"
    keep
{identity.KEEP}    packages >"$folder/packages.new"
    mv "$folder/packages.new" "$folder/packages"
fi
# If a plan failed, keep the earlier lists: what it has added still belongs to it.
for list in packages units; do
    [ -e "$folder/start-$list" ] || $list >"$folder/start-$list"
done
touch "$folder/kept" "$folder/absent" "$folder/folders" "$folder/accounts"
for path in "$@" $(edited); do
    case $path in
    /*) ;;
    *)
        getent "${{path%%:*}}" "${{path#*:}}" >/dev/null || echo "$path" >>"$folder/accounts"
        continue
        ;;
    esac
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
# Packages that are installed later do not belong to a plan.
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
    # A version that did not note them: all new ones were added by plans.
    [ -e "$folder/brought-$list" ] || new $list >"$folder/brought-$list"
    sort -u "$folder/brought-$list" >"$work/brought-$list"
done

# Stop the worker. Each change of a unit's state reloads systemd, which is slow: change only what differs.
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

# Remove only packages that were not there before, and none if others would be removed with them.
purge $(new packages | comm -12 - "$work/brought-packages")

while read -r path; do
    [ -d "$path" ] || rm -f -- "$path"
done <"$folder/absent"
for path; do
    if grep -qxF -e "$path" "$folder/absent"; then rm -rf --one-file-system -- "$path"; fi
done
# Keep added folders that contain files of others.
sort -ru "$folder/folders" | while read -r path; do
    [ ! -d "$path" ] || rmdir --ignore-fail-on-non-empty -- "$path"
done
while read -r path; do
    if [ -e "$folder/files$path" ] || [ -L "$folder/files$path" ]; then
        mkdir -p "$(dirname "$path")"
        cp -a --remove-destination -T "$folder/files$path" "$path"
    fi
done <"$folder/kept"

{identity.UNDO}
users >"$work/users"
for user in $(new users | grep -xE 'slot[0-9]+|condor|chrony|cvmfs' || true); do
    userdel "$user"
done
sort -ru "$folder/accounts" | while read -r account; do  # users before groups
    ! getent "${{account%%:*}}" "${{account#*:}}" >/dev/null ||
        case $account in
        passwd:*) userdel "${{account#*:}}" ;;
        group:*) groupdel "${{account#*:}}" ;;
        esac
done
# The bundles of certificates contain those that were just removed.
if grep -qs '^/usr/local/share/ca-certificates/' "$folder/kept" "$folder/absent"; then
    update-ca-certificates --fresh
elif grep -qs '^/etc/pki/ca-trust/source/anchors/' "$folder/kept" "$folder/absent"; then
    update-ca-trust extract
fi
systemctl daemon-reload
rm -rf /run/worker-bakery "$(dirname "$folder")"
echo "= restored"
"""


def save(steps: Iterable[PlannedStep]) -> tuple[str, ...]:
    """The command that saves what these steps overwrite. It is safe to run again."""
    written = [path for step in steps for action in step.actions for path in _written(action)]
    return ("sh", "-c", _SAVE, "save", FOLDER, *MADE, *WORKER_FILES, *written)


def note_installed() -> tuple[str, ...]:
    """The command that notes the packages and units that the steps have added, after the last step."""
    return ("sh", "-c", _NOTE_INSTALLED, "saved", FOLDER)


def _written(action: Action) -> Iterator[str]:
    """The file that an action writes, or the accounts that it adds, as DATABASE:NAME of getent(1)."""
    match action:
        case Put(path):
            yield path
        case Run(("sh", _, script, _, _, path, _)) if script == FETCH_KEY:
            yield path
        case Run(("sh", _, identity.APPEND)):
            yield identity.ISSUE_EL7
        case Run(("sh", _, script, _, name, _, _, _, groups, *_)) if script == ADD_USER:
            yield f"passwd:{name}"
            yield from (f"group:{group}" for group in groups.split(",") if group)


def remove() -> tuple[str, ...]:
    """The command that restores the machine. After a failure it can be run again and continues.

    It prints the line "= restored", or "= nothing" if there is no saved state; and "= stays: PACKAGE" for
    each package of the plan that it keeps because other packages need it.
    """
    return ("sh", "-c", _REMOVE, "remove", FOLDER, *MADE)
