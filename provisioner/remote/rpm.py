"""Shell functions for provisioner/remote/inventory.py on EL machines, with rpm, and yum (EL7) or dnf.

provisioner/remote/dpkg.py describes the functions.
"""

from __future__ import annotations

from provisioner.roles import selinux
from provisioner.roles.base import NEWEST_KERNEL
from provisioner.roles.condor import CODEREADY_BUILDER
from provisioner.roles.container import UNNEEDED

_CODEREADY_BUILDER = "|".join(sorted(set(CODEREADY_BUILDER.values())))
# Keys are packages as well, all named gpg-pubkey. A module is disabled when its last package is removed.
FUNCTIONS = rf"""{UNNEEDED}packages() {{
    rpm -qa --qf '%{{NAME}} %{{ARCH}} %{{VERSION}}-%{{RELEASE}}\n' |
        awk '{{print $1 == "gpg-pubkey" ? $1 "-" $3 : $1 "." $2}}' | sort -u
}}
keep() {{
{selinux.KEEP}
    ls /etc/dnf/modules.d >"$folder/modules.d" 2>/dev/null || true
    # The default kernel is not the newest one.
    kernel=$(grubby --default-kernel 2>/dev/null) || kernel=
{NEWEST_KERNEL}
    [ "$kernel" = "$newest" ] || echo "$kernel" >"$folder/kernel"
}}
edited() {{ grep -lsE '^\[({_CODEREADY_BUILDER})\]' /etc/yum.repos.d/*.repo || true; }}
purge() {{
    case $system in *[a-z]7\ *) program=yum ;; *) program=dnf ;; esac
    keys=$(printf '%s\n' "$@" | grep '^gpg-pubkey-' || true)
    printf '%s\n' "$@" | grep -v '^gpg-pubkey-' | sort -u >"$work/given" || true
    unneeded $(cat "$work/given")
    printf '%s\n' "$names" | comm -23 "$work/given" - | sed 's/^/= stays: /'
    # If packages outside of the list need them, rpm reports which.
    [ -z "$names" ] || rpm -e --test --allmatches $names
{selinux.UNDO}
    if [ -s "$folder/kernel" ] && [ -e "$(cat "$folder/kernel")" ]; then
        grubby --set-default="$(cat "$folder/kernel")"
    fi
    if [ -n "$names" ]; then
        $program -y --disablerepo='*' --setopt=clean_requirements_on_remove=0 remove $names
    fi
    [ -z "$keys" ] || rpm -e $keys
    for file in /etc/dnf/modules.d/*.module; do
        module=${{file##*/}}
        if [ ! -e "$file" ] || grep -qxF -e "$module" "$folder/modules.d"; then continue; fi
        rpm -qa --qf '%{{MODULARITYLABEL}}\n' | grep -q "^${{module%.module}}:" || rm -f -- "$file"
    done
}}
"""
