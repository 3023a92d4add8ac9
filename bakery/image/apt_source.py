"""`--apt-source FILE.sources`: an apt repository for the optional roles, used during one bake only.

The file is deb822, see sources.list(5). apt reads the text inside the new image, where the files of this
machine do not exist; therefore keys are copied into the text, and local folders are rejected.
"""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from provisioner import named_file
from provisioner.errors import BadInput

_ARMOR = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
_BLOCK = re.compile(f"{_ARMOR[0]}\r?\n(.*?){_ARMOR[1]}", re.DOTALL)
_REMOTE = re.compile(r"https?://[^/\s]+", re.IGNORECASE)
_HINT = "The format is deb822, see sources.list(5): Types, URIs, Suites, Components, Signed-By."


def read(paths: Sequence[Path]) -> str:
    """Return all files as one deb822 text without references to files of this machine. Raises BadInput."""
    return "\n".join(entry for path in paths for entry in _entries(path))


def _entries(path: Path) -> Iterator[str]:
    try:
        text = named_file.text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"Cannot read the apt source {path}: {error}.") from None
    lines = [row.rstrip() for row in text.splitlines() if not row.startswith("#")]
    entries = [row for row in re.split(r"\n{2,}", "\n".join(lines).strip("\n")) if row]
    if not entries:
        raise BadInput(f"The apt source {path} does not contain a repository.", _HINT)
    for entry in entries:
        yield _checked(path, _fields(path, entry))


def _fields(path: Path, entry: str) -> dict[str, str]:
    """Return the fields by their names in lower case; a value keeps its continuation lines."""
    fields: dict[str, str] = {}
    name = ""
    for row in entry.splitlines():
        if row.startswith((" ", "\t")) and name:
            fields[name] += f"\n{row}"
            continue
        name, colon, value = row.partition(":")
        name = name.strip().lower()
        if not colon or not re.fullmatch(r"[a-z-]+", name) or name in fields:
            raise BadInput(f"The apt source {path} has an invalid or repeated field: {name}.", _HINT)
        fields[name] = value
    return fields


def _checked(path: Path, fields: dict[str, str]) -> str:
    for name in ("types", "uris", "suites"):
        if not fields.get(name, "").strip():
            raise BadInput(f"The apt source {path} has an entry without {name.capitalize()}.", _HINT)
    if "deb" not in fields["types"].split():
        raise BadInput(f"The apt source {path} has an entry without binary packages (Types: deb).", _HINT)
    for uri in fields["uris"].split():
        _check_uri(path, uri)
    if "signed-by" in fields:
        fields["signed-by"] = _key(path, fields["signed-by"])
    return "".join(f"{name}:{value}\n" for name, value in fields.items())


def _check_uri(path: Path, uri: str) -> None:
    found = _REMOTE.match(uri)
    if not found:
        raise BadInput(
            f"The apt source {path} has a URI that is not http:// or https://.",
            "Files of this machine are not available inside the image; serve the folder, for example with"
            " `python3 -m http.server --bind 127.0.0.1`.",
        )
    if "@" in found[0]:
        raise BadInput(
            f"The apt source {path} has a user or password in a URI, which apt would print.",
            "Use a mirror without authentication.",
        )


def _key(path: Path, value: str) -> str:
    """Return the value of Signed-By, with keyring files replaced by the keys in them."""
    if "-----BEGIN" in value:
        return value
    files = value.replace(",", " ").split()
    if not files or not all(name.startswith("/") for name in files):
        raise BadInput(
            f"The apt source {path} has a Signed-By that is neither paths nor a key.",
            "Give the path of a keyring on this machine, or the armored key itself, not a fingerprint.",
        )
    return _armored(b"".join(_keyring(path, Path(name)) for name in files))


def _keyring(path: Path, file: Path) -> bytes:
    """Return the OpenPGP packets of a keyring, binary or armored. Raises BadInput."""
    try:
        content = named_file.content(file)
    except OSError as error:
        raise BadInput(f"Cannot read the keyring of the apt source {path}: {error}.") from None
    packets = _dearmored(content) if content.lstrip().startswith(b"-----BEGIN") else content
    if not packets:
        raise BadInput(f"{file}, the keyring of the apt source {path}, is not a keyring.")
    return packets


def _dearmored(content: bytes) -> bytes:
    """Return the packets of all armored blocks; b"" if a block is malformed."""
    try:
        return b"".join(map(_packets, _BLOCK.findall(content.decode("ascii", "replace"))))
    except ValueError:
        return b""


def _packets(block: str) -> bytes:
    """Decode the inside of an armored block: headers, an empty line, base64, an optional checksum."""
    _, _, body = block.replace("\r", "").rpartition("\n\n")
    rows = [row for row in (body or block).split() if not row.startswith("=")]
    return base64.b64decode("".join(rows), validate=True)


def _armored(packets: bytes) -> str:
    body = textwrap.wrap(base64.b64encode(packets).decode("ascii"), 64)
    # deb822 writes an empty line within a value as a dot.
    return "".join(f"\n {row}" for row in (_ARMOR[0], ".", *body, _ARMOR[1]))
