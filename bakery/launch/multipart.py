"""Several user-data in one: cloud-init's MIME multi-part, made and taken apart."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from provisioner.errors import BadInput

# By the first line, as cloud-init finds out.
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
}
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
    """The type that the first line says; empty if it says none."""
    first = data.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip()
    for start, kind in KINDS.items():
        if first == start or (start == "#!" and first.startswith(start)):
            return kind
    return KINDS["#include"] if first.startswith("#include ") else ""


def is_multipart(data: bytes) -> bool:
    head = data[:2048].lower()
    return head.startswith((b"content-type:", b"mime-version:")) and b"multipart/" in head


def parts_of(data: bytes) -> list[Part]:
    """All leaves of a multi-part."""
    from email import policy
    from email.parser import BytesParser

    message = BytesParser(policy=policy.compat32).parsebytes(data)
    found = []
    for part in message.walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            merge = str(part.get("Merge-Type") or part.get("X-Merge-Type") or "")
            raw = payload if isinstance(payload, bytes) else b""
            found.append(Part(part.get_content_type(), part.get_filename() or "", raw, merge))
    return found


def is_whole(data: bytes) -> bool:
    """Does it have the boundary that it names, up to the last one?"""
    from email.parser import BytesParser

    message = BytesParser().parsebytes(data)
    return message.is_multipart() and not message.defects


def included(name: str, data: bytes) -> list[Part]:
    """The user's own user-data as parts. Raises BadInput if cloud-init would not know what it is."""
    if data.startswith(b"\x1f\x8b"):
        data = _unzipped(name, data)
    if is_multipart(data):
        return parts_of(data)
    kind = kind_of(data)
    if not kind:
        raise BadInput(
            f"{name} does not say on its first line what it is, so cloud-init would ignore it.",
            "A script begins with #!, a cloud-config with #cloud-config.",
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
