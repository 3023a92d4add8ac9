"""What a running machine was before plans were applied to it, kept there, so that it can be given back.

Before the first step ever, the machine's packages, users and enabled units are listed; before a step
writes a file, what stands there is kept, or that nothing does. `remove` puts all that back. What is
not undone: packages that were there are left at the version to which a plan brought them.
"""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.actions import Put
from provisioner.plan import PlannedStep

FOLDER = "/var/lib/worker-bakery/before"
# What HTCondor and the worker make as they run, and no step writes; a folder as a whole.
MADE = (
    *("/etc/condor", "/usr/share/condor", "/var/lib/condor", "/var/log/condor", "/var/spool/condor"),
    *("/usr/lib/worker-bakery", "/home/prominence"),
)
# The worker's own file, with its token: of one who no longer is.
TOLD = ("/etc/osg-worker.conf", "/etc/prominence-worker.conf", "/etc/worker-defaults.conf")

_SAVE = r"""
set -e
folder=$1; shift
command -v dpkg-query >/dev/null || exit 0
# Of a machine that an older version began, nobody knows what it was.
if [ -e "$folder/../applied.json" ] && [ ! -e "$folder/packages" ]; then exit 0; fi
if [ ! -e "$folder/packages" ]; then
    install -d -m 0700 "$folder" "$folder/files"
    getent passwd | cut -d: -f1 | sort >"$folder/users"
    systemctl list-unit-files --no-legend | awk '$2 != "transient" {print $1, $2}' | sort >"$folder/units"
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^ii *//p' | sort >"$folder/packages.new"
    mv "$folder/packages.new" "$folder/packages"
fi
touch "$folder/kept" "$folder/absent" "$folder/folders"
for path; do
    grep -qxF -e "$path" "$folder/kept" "$folder/absent" && continue
    if [ -e "$path" ] || [ -L "$path" ]; then
        [ -d "$path" ] || cp -a --parents "$path" "$folder/files"
        echo "$path" >>"$folder/kept"
    else
        echo "$path" >>"$folder/absent"
        while path=$(dirname "$path") && [ ! -e "$path" ]; do echo "$path" >>"$folder/folders"; done
    fi
done
"""
_REMOVE = r"""
set -e
folder=$1; shift
if [ ! -e "$folder/packages" ]; then echo "= nothing"; exit 0; fi
export DEBIAN_FRONTEND=noninteractive
new() { comm -13 "$folder/$1" "$2"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Nothing of the worker's runs any more.
systemctl list-unit-files --no-legend | awk '$2 != "transient" {print $1, $2}' | sort >"$work/units"
for unit in $(new units "$work/units" | awk '{print $1}'); do
    before=$(awk -v unit="$unit" '$1 == unit {print $2}' "$folder/units")
    case $before in
        enabled) systemctl unmask "$unit"; systemctl enable "$unit" ;;
        disabled) systemctl unmask "$unit"; systemctl disable "$unit" ;;
        masked) systemctl mask "$unit" ;;
        "") systemctl disable "$unit" || true; systemctl stop "$unit" || true ;;
        *) systemctl unmask "$unit" || true ;;
    esac
done
nft delete table inet worker_metadata 2>/dev/null || nft delete table ip worker_metadata 2>/dev/null || true
while umount /home/prominence 2>/dev/null; do :; done
umount /var/lib/condor/execute-disk 2>/dev/null || true

# Only what was not there before; and if that would take anything else along, nothing at all.
dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^ii *//p' | sort >"$work/packages"
added=$(new packages "$work/packages")
if [ -n "$added" ]; then
    apt-get -s purge $added | awk '$1 == "Purg" || $1 == "Remv" {print $2}' | sort -u >"$work/purged"
    others=$(comm -12 "$folder/packages" "$work/purged")
    if [ -n "$others" ]; then
        echo "To remove the packages of the plan would remove these as well:" $others >&2
        exit 1
    fi
    apt-get -q -y purge $added
fi

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
cp -a "$folder/files/." /

getent passwd | cut -d: -f1 | sort >"$work/users"
for user in $(new users "$work/users" | grep -xE 'slot[0-9]+|condor' || true); do
    userdel "$user"
done
systemctl daemon-reload
rm -rf /run/worker-bakery "$(dirname "$folder")"
echo "= given back"
"""


def save(steps: Iterable[PlannedStep]) -> tuple[str, ...]:
    """The command that keeps what these steps write over. It is safe to run again."""
    written = [action.path for step in steps for action in step.actions if isinstance(action, Put)]
    return ("sh", "-c", _SAVE, "save", FOLDER, *MADE, *TOLD, *written)


def remove() -> tuple[str, ...]:
    """The command that gives the machine back; a failed one goes on when it is run again.

    Of the lines that it prints, one is "= given back", or "= nothing" where nothing is known.
    """
    return ("sh", "-c", _REMOVE, "remove", FOLDER, *MADE)
