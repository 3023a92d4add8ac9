"""worker-bakery bases --update: pin the newest images of the vendors in packer/bases/*.toml.

The table `[updates]` of a file says where to look: `index` is a page that lists files or folders; `image`
is a regular expression of the path below it, whose first component the page lists; `checksums` and
`signature` are files beside the image; `key` is the fingerprint of the expected signer, whose public key
is in packer/keys. They may contain {arch} and {deb_arch} (the architecture), {folder} (the folder found)
and {image} (the name of the file).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin

from bakery.image import bases
from bakery.image.bases import VendorImage
from bakery.runtime import data
from bakery.sources import download
from provisioner.errors import BadInput, WrongChecksum
from provisioner.process import run

Get = Callable[[str], bytes]

_DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}
_LINE = re.compile(
    r"(?:SHA(?:256|512) \((?P<bsd>[^)]+)\) = )?(?P<digest>[0-9a-f]{64,128})(?:[ \t]+\*?(?P<gnu>\S+))?\s*"
)


@dataclass(frozen=True)
class Updates:
    """The table `[updates]` of a base."""

    index: str
    image: str
    checksums: str
    signature: str = ""
    key: str = ""


def newest(updates: Updates, architecture: str, algorithm: str, get: Get = download.read) -> VendorImage:
    """Return the newest image.

    Raises Unreachable, BadInput (no image matches), WrongChecksum (the signature is missing or wrong).
    """
    url = _newest_url(updates, architecture, get)
    name = url.rpartition("/")[2]
    where = urljoin(url, updates.checksums.replace("{image}", name))
    listed = get(where)
    if updates.signature:
        verify(listed, get(urljoin(url, updates.signature.replace("{image}", name))), updates.key, where)
    found = listed_digest(listed.decode("utf-8", "replace"), name)
    if not found:
        raise BadInput(f"{where} does not list {name}.")
    return VendorImage(url, bases.hexadecimal(found, algorithm), algorithm)


def _newest_url(updates: Updates, architecture: str, get: Get) -> str:
    def expand(text: str, folder: str = "") -> str:
        parts = {"{arch}": architecture, "{deb_arch}": _DEBIAN[architecture], "{folder}": folder}
        for key, value in parts.items():
            text = text.replace(key, value)
        return text

    index = expand(updates.index)
    first, _, rest = updates.image.partition("/")
    page = get(index).decode("utf-8", "replace")
    names = {unquote(name).removeprefix("./").rstrip("/") for name in re.findall(r'href="([^"]+)"', page)}
    matching = [name for name in names if re.fullmatch(expand(first), name)]
    if not matching:
        raise BadInput(f"{index} lists no file that matches {expand(first)}.")
    latest = max(matching, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    return urljoin(index, f"{latest}/{expand(rest, latest)}" if rest else latest)


def listed_digest(text: str, name: str) -> str:
    """Return the digest of a file in the output of sha256sum or shasum --tag, "" if it is not listed."""
    for row in text.splitlines():
        found = _LINE.fullmatch(row)
        if found and (found["bsd"] or found["gnu"] or "").rpartition("/")[2] == name:
            return found["digest"]
    return ""


def verify(content: bytes, signature: bytes, fingerprint: str, name: str, keys: Path = data.KEYS) -> None:
    """Raise WrongChecksum unless this key has signed the content. The user's keyring is not used."""
    with run.temporary_folder() as home:
        (home / "content").write_bytes(content)
        (home / "signature").write_bytes(signature)
        gpg = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--quiet"]
        run.call([*gpg, "--import", str(keys / f"{fingerprint}.asc")])
        files = [str(home / "signature"), str(home / "content")]
        done = run.call([*gpg, "--status-fd", "1", "--verify", *files], expect=(0, 1, 2))
    valid = re.findall(r"^\[GNUPG:\] VALIDSIG .* ([0-9A-F]{40})$", done.stdout, re.MULTILINE)
    if fingerprint not in valid or "BADSIG" in done.stdout:
        raise WrongChecksum(f"{name} is not signed by {fingerprint}.", "The pin was not changed.")


# --- the TOML files ----------------------------------------------------------------------------


def update(path: Path, get: Get = download.read) -> Iterator[str]:
    """Update a base's file and yield a line for each change.

    The file is written after all its images have been found.
    """
    text = path.read_text()
    table = tomllib.loads(text).get("updates")
    if not table:
        return
    updates = Updates(**table)
    for architecture in bases.read(path).architectures:
        old = bases.read(path, architecture).source
        assert isinstance(old, VendorImage)
        new = newest(updates, architecture, old.algorithm, get)
        text = text.replace(old.url, new.url).replace(old.digest, new.digest)
        if new != old:
            how = f"signed by {updates.key}" if updates.key else "not signed, downloaded over https"
            yield f"{path.stem} {architecture}: {new.url} ({how})"
    path.write_text(text)


def paths(names: Sequence[str] = ()) -> list[Path]:
    """The TOML files of these bases, or of all. Raises BadInput for an unknown name."""
    return [data.BASES / f"{bases.find(name).name}.toml" for name in names] or sorted(
        data.BASES.glob("*.toml")
    )
