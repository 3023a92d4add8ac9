"""Shell functions for provisioner/remote/inventory.py on machines with dpkg and apt.

packages    print the installed packages, sorted, one per line
keep        write other original state to $folder
edited      print the files that commands of a plan edit
purge       remove these packages; fail without removing any if other packages need them
"""

from __future__ import annotations

FUNCTIONS = r"""
export DEBIAN_FRONTEND=noninteractive
packages() { dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^ii *//p' | sort; }
keep() { :; }
edited() { :; }
purge() {
    [ $# -gt 0 ] || return 0
    printf '%s\n' "$@" | sort >"$work/given"
    apt-get -s purge "$@" | awk '$1 == "Purg" || $1 == "Remv" {print $2}' >"$work/purged"
    others=$(sed 's/:.*//' "$work/purged" | sort -u | comm -13 "$work/given" -)
    if [ -n "$others" ]; then
        echo "To remove the packages of the plan would remove these as well:" $others >&2
        exit 1
    fi
    apt-get -q -y purge "$@"
}
"""
