"""Kernel arguments of a customization, for each kernel of the image and for those installed later.

Debian and Ubuntu: GRUB's configuration is edited in place. update-grub would write the same arguments, but
requires the device of the root file system, which a chroot does not have; the file in /etc/default/grub.d
is for later runs of it. In images built by mkosi, GRUB reads its configuration from the EFI system
partition, with BIOS firmware as well, and fstab does not mount that partition.

EL: grubby edits the entries of the boot loader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from provisioner.actions import Action, Put, Run
from provisioner.roles import Context
from provisioner.steps import Step

GRUB = "/etc/default/grub.d/60-site.cfg"
# add FILE LINES: append the arguments that they lack to the lines that begin so (an awk pattern). A value
# in quotation marks is extended inside of them.
_ADD = r"""
arguments=$*
umask 077
add() {
    awk -v lines="^[ \t]*$2" -v arguments="$arguments" '
        BEGIN { n = split(arguments, argument, " ") }
        $0 ~ lines {
            end = ""
            if ($0 ~ /"[ \t]*$/) { sub(/"[ \t]*$/, ""); end = "\"" }
            given = $0
            gsub(/["\t]/, " ", given)
            for (i = 1; i <= n; i++)
                if (!index(given " ", " " argument[i] " ")) $0 = $0 " " argument[i]
            $0 = $0 end
        }
        { print }' "$1" >"$1.new"
    cmp -s "$1" "$1.new" || cat "$1.new" >"$1"
    rm -f "$1.new"
}
"""
# The programs that mount the EFI system partition do it at /efi or /boot.
EDIT_GRUB = rf"""{_ADD}
edit() {{
    if grep -qsE '^[[:space:]]*linux(efi|16)?[[:space:]]' "$1/grub/grub.cfg"; then
        add "$1/grub/grub.cfg" '(linux|linuxefi|linux16)[ \t]'
        done=yes
    fi
    for file in "$1"/loader/entries/*.conf; do
        [ ! -f "$file" ] || add "$file" 'options([ \t]|$)'
    done
}}
done=
for folder in /boot /efi /boot/efi; do edit "$folder"; done
if [ -z "$done" ]; then
    disk=$(lsblk -nro PKNAME "$(findmnt -nvo SOURCE /)" | head -n 1)
    partition=$(lsblk -nrpo NAME,PARTTYPE "/dev/$disk" |
        awk '$2 == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" {{ print $1; exit }}')
    if [ -n "$partition" ]; then
        folder=$(mktemp -d -p /run)
        mount "$partition" "$folder"
        trap 'umount "$folder"; rmdir "$folder"' EXIT
        edit "$folder"
    fi
fi
if [ -z "$done" ]; then
    echo 'No configuration of GRUB with a kernel was found: kernel arguments cannot be set.'
    exit 1
fi
"""
# grubby of EL8 and later writes /etc/default/grub and the entries, that of EL7 the entries only.
EDIT_ENTRIES = rf"""{_ADD}
grubby --update-kernel=ALL --args="$arguments"
[ ! -f /etc/default/grub ] || add /etc/default/grub 'GRUB_CMDLINE_LINUX=".*"'
[ ! -s /etc/kernel/cmdline ] || add /etc/kernel/cmdline .
"""


@dataclass(frozen=True)
class KernelArguments:
    """Add arguments to the command line of each kernel: by editing `grub`, or with grubby if it is ""."""

    arguments: tuple[str, ...]
    grub: str = ""

    @property
    def title(self) -> str:
        return f"boot with {' '.join(self.arguments)}"

    def actions(self) -> tuple[Action, ...]:
        script = EDIT_GRUB if self.grub else EDIT_ENTRIES
        edit = Run(("sh", "-ec", script, "arguments", *self.arguments))
        return (Put(self.grub, self._later(), 0o644), edit) if self.grub else (edit,)

    def _later(self) -> bytes:
        more = " ".join(["$GRUB_CMDLINE_LINUX", *self.arguments])
        return f'# Kernel arguments of the site.\nGRUB_CMDLINE_LINUX="{more}"\n'.encode()


def steps(context: Context) -> Iterator[Step]:
    """One step, or none."""
    arguments = context.customization.kernel_arguments
    if arguments:
        yield KernelArguments(arguments, "" if context.is_el else GRUB)


def edits_boot_loader(actions: Iterable[Action]) -> bool:
    """Whether one of these actions sets kernel arguments."""
    scripts = {action.argv[2] for action in actions if isinstance(action, Run) and len(action.argv) > 2}
    return not scripts.isdisjoint({EDIT_GRUB, EDIT_ENTRIES})
