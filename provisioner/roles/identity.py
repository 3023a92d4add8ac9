"""What an image says of itself: IMAGE_ID and IMAGE_VERSION of os-release(5), and a line on the console.

agetty(8) shows the line above the prompt for a login, and reads the values from os-release. They are
stamped last, because the version may be the id of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from provisioner.roles import Context
from provisioner.steps import Command, File, Step

LINE = "Worker image \\S{IMAGE_ID} \\S{IMAGE_VERSION}"
ISSUE = "/etc/issue.d/50-worker.issue"
# agetty of EL7 reads no issue.d. The file may be the site's: the line is appended.
ISSUE_EL7 = "/etc/issue"
APPEND = f"""\
grep -qsxF '{LINE}' {ISSUE_EL7} || printf '%s\\n\\n' '{LINE}' >>{ISSUE_EL7}
"""

_OURS = "^IMAGE_(ID|VERSION)="
# Written in place: the file keeps its mode and its SELinux label, and /etc/os-release stays a link to it.
STAMP = f"""\
file=$(readlink -f /etc/os-release)
kept=$(grep -vE '{_OURS}' "$file")
printf '%s\\nIMAGE_ID=%s\\nIMAGE_VERSION=%s\\n' "$kept" "$1" "$2" >"$file"
"""
# Save these lines on a remote machine, and restore them; its os-release may be another by then.
KEEP = f"""\
    grep -E '{_OURS}' /etc/os-release >"$folder/image" || true
"""
UNDO = f"""\
    file=$(readlink -f /etc/os-release)
    if [ -e "$folder/image" ] && [ "$(grep -E '{_OURS}' "$file")" != "$(cat "$folder/image")" ]; then
        kept=$(grep -vE '{_OURS}' "$file"; cat "$folder/image")
        printf '%s\\n' "$kept" >"$file"
    fi
"""


@dataclass(frozen=True)
class Identity:
    """The values of IMAGE_ID and IMAGE_VERSION: of a-z, 0-9, dots, dashes and underscores."""

    id: str
    version: str


def issue(context: Context) -> tuple[Step, ...]:
    """The step for the console; none for containers, which have no login."""
    if not context.boots:
        return ()
    if context.family == "el7":
        return (Command(f"append to {ISSUE_EL7}", ("sh", "-ec", APPEND)),)
    return (File(ISSUE, f"{LINE}\n\n".encode()),)


def stamp(found: Identity) -> Step:
    """The step that writes the values. Safe to run twice, also with other values."""
    argv = ("sh", "-ec", STAMP, "stamp", found.id, found.version)
    return Command("write IMAGE_ID and IMAGE_VERSION", argv)
