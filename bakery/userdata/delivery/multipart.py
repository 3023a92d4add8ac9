"""What user-data is, decided as cloud-init decides it; and several in one: its MIME multi-part."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.errors import BadInput

if TYPE_CHECKING:
    from email.message import Message

# By how it begins: INCLUSION_TYPES_MAP of cloudinit/handlers/__init__.py (25.1).
KINDS = {
    "#!": "text/x-shellscript",
    "#cloud-config-archive": "text/cloud-config-archive",
    "#cloud-config-jsonp": "text/cloud-config-jsonp",
    "#cloud-config": "text/cloud-config",
    "#cloud-boothook": "text/cloud-boothook",
    "#include-once": "text/x-include-once-url",
    "#include": "text/x-include-url",
    "#part-handler": "text/part-handler",
    "## template: jinja": "text/jinja2",
    "text/x-shellscript-per-boot": "text/x-shellscript-per-boot",
    "text/x-shellscript-per-instance": "text/x-shellscript-per-instance",
    "text/x-shellscript-per-once": "text/x-shellscript-per-once",
}
# The types of parts that cloud-init unpacks: DECOMP_TYPES of cloudinit/user_data.py (25.1).
PACKED = frozenset(
    f"application/{name}"
    for name in (
        *("gzip", "gzip-compressed", "gzipped", "x-compress", "x-compressed"),
        *("x-gunzip", "x-gzip", "x-gzip-compressed"),
    )
)
# Parts of these types are what they begin with, if that says anything: TYPE_NEEDED and one more, there.
_BY_CONTENT = frozenset({"text/plain", "text/x-not-multipart", "text/x-shellscript"})
_LONGEST_FIRST = sorted(KINDS, key=len, reverse=True)
# Lists of both are put one after the other; of a value in both, the first stays.
MERGE = "list(append)+dict(no_replace,recurse_list)+str()"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_PLAIN = re.compile(rb"[\t\n -~]*")


@dataclass(frozen=True)
class Part:
    """One of several: its type, its name, its bytes, and how it merges if it says."""

    kind: str
    name: str
    data: bytes
    merge: str = ""


def kind_of(data: bytes) -> str:
    """The type that it begins with, as `type_from_starts_with` of cloud-init finds it; empty if with none.

    White space before it and upper case do not count, and whatever follows it does not either.
    """
    text = data.decode("utf-8", "surrogateescape").lower().lstrip()
    return next((KINDS[start] for start in _LONGEST_FIRST if text.startswith(start)), "")


def kind_of_part(part: Part) -> str:
    """The type that cloud-init goes by: the one that the part says, or that of its content."""
    return (kind_of(part.data) if part.kind in _BY_CONTENT else "") or part.kind


def is_multipart(data: bytes) -> bool:
    """Does cloud-init take it for a message? As `convert_string` of cloudinit/user_data.py finds out."""
    return b"mime-version:" in data[:4096].lower()


def parts_of(data: bytes) -> list[Part]:
    """All leaves of a message, with what cloud-init reads in them. Raises BadInput if it is not UTF-8."""
    found = []
    for part in _message(data).walk():
        # A part that says it is one of several, but has none, is skipped, too.
        if part.get_content_maintype() != "multipart":
            payload = part.get_payload(decode=True)
            merge = str(part.get("Merge-Type") or part.get("X-Merge-Type") or "")
            raw = payload if isinstance(payload, bytes) else b""
            found.append(Part(part.get_content_type(), part.get_filename() or "", raw, merge))
    return found


def is_whole(data: bytes) -> bool:
    """Does it have the boundary that it names, up to the last one?"""
    message = _message(data)
    return message.is_multipart() and not message.defects


def _message(data: bytes) -> Message:
    from email import message_from_string

    try:
        return message_from_string(data.decode())
    except UnicodeDecodeError:
        raise BadInput("The multi-part is not UTF-8.", "Save it as UTF-8.") from None


def included(name: str, data: bytes) -> list[Part]:
    """The user's own user-data as parts. Raises BadInput if cloud-init would not know what it is."""
    if data.startswith(b"\x1f\x8b"):
        data = _unzipped(name, data)
    if is_multipart(data) and _message(data).is_multipart():
        return parts_of(data)
    kind = kind_of(data)
    if not kind:
        raise BadInput(
            f"{name} does not say on its first line what it is, so cloud-init would ignore it.",
            "A script begins with #!, a cloud-config with #cloud-config.",
        )
    if data[:1].isspace() and kind not in ("text/cloud-config", "text/cloud-config-archive"):
        raise BadInput(
            f"{name} has white space before its first line, so it would be recognised, but fail.",
            "Remove what is before #.",
        )
    return [Part(kind, _UNSAFE.sub("_", name.rpartition("/")[2]), data)]


def joined(parts: Sequence[Part]) -> str:
    """The multi-part; its boundary comes from the content, so it is the same each time."""
    import hashlib

    digest = hashlib.sha256(b"\0".join(part.kind.encode() + b"\n" + part.data for part in parts))
    boundary = f"===part-{digest.hexdigest()[:32]}==="
    head = f'Content-Type: multipart/mixed; boundary="{boundary}"\nMIME-Version: 1.0\n'
    bodies = (_written(part, number) for number, part in enumerate(parts, 1))
    return head + "".join(f"\n--{boundary}\n{body}" for body in bodies) + f"\n--{boundary}--\n"


def _written(part: Part, number: int) -> str:
    plain = bool(_PLAIN.fullmatch(part.data))
    name = _UNSAFE.sub("_", part.name) or f"part-{number:03}"
    lines = [
        f'Content-Type: {part.kind}; charset="{"us-ascii" if plain else "utf-8"}"',
        "MIME-Version: 1.0",
        f"Content-Transfer-Encoding: {'7bit' if plain else 'base64'}",
        f'Content-Disposition: attachment; filename="{name}"',
    ]
    if part.kind == "text/cloud-config":
        lines.append(f"Merge-Type: {' '.join(part.merge.split()) or MERGE}")
    body = part.data.decode("ascii") if plain else base64.encodebytes(part.data).decode()
    return "\n".join(lines) + "\n\n" + body


def _unzipped(name: str, data: bytes) -> bytes:
    import gzip
    import zlib

    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        raise BadInput(f"{name} is damaged: its gzip cannot be unpacked.", "Make it anew.") from None
