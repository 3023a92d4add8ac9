"""Determine the type of user-data as cloud-init does; read and write MIME multi-parts."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.errors import BadInput

if TYPE_CHECKING:
    from email.message import Message

# By the first characters: INCLUSION_TYPES_MAP of cloudinit/handlers/__init__.py (25.1).
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
# The types of parts that cloud-init decompresses: DECOMP_TYPES of cloudinit/user_data.py (25.1).
PACKED = frozenset(
    f"application/{name}"
    for name in (
        *("gzip", "gzip-compressed", "gzipped", "x-compress", "x-compressed"),
        *("x-gunzip", "x-gzip", "x-gzip-compressed"),
    )
)
# Parts of these types get their type from their content, if it has one: TYPE_NEEDED and one more, there.
_BY_CONTENT = frozenset({"text/plain", "text/x-not-multipart", "text/x-shellscript"})
_LONGEST_FIRST = sorted(KINDS, key=len, reverse=True)
# Lists are appended; of a value in both, the first is kept.
MERGE = "list(append)+dict(no_replace,recurse_list)+str()"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_PLAIN = re.compile(rb"[\t\n -~]*")


@dataclass(frozen=True)
class Part:
    """One part: its MIME type, file name and content; `merge` is its Merge-Type header, "" for none."""

    kind: str
    name: str
    data: bytes
    merge: str = ""


def kind_of(data: bytes) -> str:
    """Return the type by the first characters, as `type_from_starts_with` of cloud-init does; "" for none.

    Leading white space and case are ignored, and so is what follows.
    """
    text = data.decode("utf-8", "surrogateescape").lower().lstrip()
    return next((KINDS[start] for start in _LONGEST_FIRST if text.startswith(start)), "")


def kind_of_part(part: Part) -> str:
    """Return the type that cloud-init uses: the declared one, or that of the content."""
    return (kind_of(part.data) if part.kind in _BY_CONTENT else "") or part.kind


def is_multipart(data: bytes) -> bool:
    """Return whether cloud-init reads it as a MIME message (`convert_string` of cloudinit/user_data.py)."""
    return b"mime-version:" in data[:4096].lower()


def parts_of(data: bytes) -> list[Part]:
    """Return the leaf parts of a message as cloud-init reads them. Raises BadInput if it is not UTF-8."""
    found = []
    for part in _message(data).walk():
        # A multipart without parts is skipped as well.
        if part.get_content_maintype() != "multipart":
            payload = part.get_payload(decode=True)
            merge = str(part.get("Merge-Type") or part.get("X-Merge-Type") or "")
            raw = payload if isinstance(payload, bytes) else b""
            found.append(Part(part.get_content_type(), part.get_filename() or "", raw, merge))
    return found


def is_whole(data: bytes) -> bool:
    """Return whether the message has the boundaries that it declares, including the last one."""
    message = _message(data)
    return message.is_multipart() and not message.defects


def _message(data: bytes) -> Message:
    from email import message_from_string

    try:
        return message_from_string(data.decode())
    except UnicodeDecodeError:
        raise BadInput("The MIME multi-part is not UTF-8.", "Save it as UTF-8.") from None


def parse_include(name: str, data: bytes) -> list[Part]:
    """Return the user's own user-data as parts. Raises BadInput if cloud-init does not know its type."""
    if data.startswith(b"\x1f\x8b"):
        data = _decompressed(name, data)
    if is_multipart(data) and _message(data).is_multipart():
        return parts_of(data)
    kind = kind_of(data)
    if not kind:
        raise BadInput(
            f"cloud-init does not recognize the first line of {name}, and would ignore the file.",
            "Begin a script with #!, a cloud-config with #cloud-config.",
        )
    if data[:1].isspace() and kind not in ("text/cloud-config", "text/cloud-config-archive"):
        raise BadInput(
            f"{name} has white space before its first line: cloud-init recognizes it, but cannot run it.",
            "Remove the white space before #.",
        )
    return [Part(kind, _UNSAFE.sub("_", name.rpartition("/")[2]), data)]


def join(parts: Sequence[Part]) -> str:
    """Return the MIME multi-part. Its boundary is derived from the content: equal parts, equal bytes."""
    import hashlib

    digest = hashlib.sha256(b"\0".join(part.kind.encode() + b"\n" + part.data for part in parts))
    boundary = f"===part-{digest.hexdigest()[:32]}==="
    head = f'Content-Type: multipart/mixed; boundary="{boundary}"\nMIME-Version: 1.0\n'
    bodies = (_format_part(part, number) for number, part in enumerate(parts, 1))
    return head + "".join(f"\n--{boundary}\n{body}" for body in bodies) + f"\n--{boundary}--\n"


def _format_part(part: Part, number: int) -> str:
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


def _decompressed(name: str, data: bytes) -> bytes:
    import gzip
    import zlib

    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        raise BadInput(
            f"{name} is damaged: its gzip data cannot be decompressed.", "Compress it again."
        ) from None
