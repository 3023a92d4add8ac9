"""Sign the description of an image, and check the image, its description and the signature.

The signature is one of minisign over NAME.SHA256SUMS, which has the digests of all other files:

    minisign -Vm NAME.SHA256SUMS -p KEY.pub && sha256sum -c NAME.SHA256SUMS
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.description import files
from bakery.output.commit import write_into_place
from bakery.runtime import digest
from bakery.store.store import DESCRIPTION, DISKS, description_path, image_manifest, read_manifest
from provisioner import named_file
from provisioner.errors import BadInput

if TYPE_CHECKING:
    from minisign import PublicKey, SecretKey, Signature

MINISIG = ".SHA256SUMS.minisig"
ENVELOPES = ".intoto.jsonl"
_UNTRUSTED = "signature of a worker image and its description, by worker-bakery"


def sign(image: Path, key: SecretKey) -> tuple[Path, ...]:
    """Write the description beside the image, and sign it; return the paths of all files.

    Raises WrongChecksum: the image differs from its manifest; BadInput: it has no manifest, or a file
    cannot be written; DiskFull.
    """
    from bakery.description import envelopes

    manifest = image_manifest(image)
    if manifest is None:
        raise BadInput(
            f"{image} has no manifest: only an image that worker-bakery bake has made can be signed.",
            "Bake it with -o PATH, which writes the manifest beside the image.",
        )
    files.write(image, manifest)
    statements = [description_path(image, suffix) for suffix in files.STATEMENTS]
    lines = (envelopes.signed(path.read_bytes(), key) for path in statements if path.exists())
    write_into_place("".join(lines).encode(), description_path(image, ENVELOPES))
    sums = files.write_sums(image, image, manifest)
    comment = f"timestamp:{int(time.time())}\tfile:{ascii(sums.name)[1:-1]}\thashed"
    made = key.sign(sums.read_bytes(), untrusted_comment=_UNTRUSTED, trusted_comment=comment)
    write_into_place(bytes(made) + b"\n", description_path(image, MINISIG))
    return (*files.described(image), sums, description_path(image, MINISIG))


def problems(image: Path, public_key: Path) -> tuple[str, ...]:
    """What is wrong with the image, its description and its signature; () if all of them are intact.

    Each problem is a sentence that names the file. Raises BadInput: the key or the image cannot be read.
    """
    from bakery.description import minisign_keys

    key = minisign_keys.public_key(public_key)
    if not image.exists():
        raise BadInput(f"There is no image {image}.")
    named_file.refuse_waiting(image)
    sums = description_path(image, files.SUMS)
    if found := _signature_problem(sums, description_path(image, MINISIG), key):
        return (found,)
    return tuple(_file_problems(image, files.read_sums(sums), key))


def _signature_problem(sums: Path, minisig: Path, key: PublicKey) -> str:
    from minisign import VerifyError

    from bakery.description.minisign_keys import raw, shown_id, signer

    for path in (sums, minisig):
        if not path.is_file():
            return f"{path.name} is missing: the image is not signed."
    made = read(minisig)
    if made is None:
        return f"{minisig.name} is not a signature of minisign."
    by, wanted = signer(made)[0], raw(key)[0]
    if by != wanted:
        return f"{minisig.name} is by the key {shown_id(by)}, not by the key {shown_id(wanted)}."
    try:
        key.verify(sums.read_bytes(), made)
    except VerifyError:
        return f"{sums.name} or {minisig.name} was changed: the signature does not match."
    return ""


def read(minisig: Path) -> Signature | None:
    """A signature; None if the file is not one, or is not spelled as minisign does."""
    from minisign import Error, Signature

    data = named_file.content(minisig)
    try:
        made = Signature.from_bytes(data)
    except (Error, ValueError):
        return None
    return made if bytes(made) + b"\n" == data else None


def _file_problems(image: Path, sums: Mapping[str, str], key: PublicKey) -> Iterator[str]:
    """Problems of the files; `sums` are the digests that the key has signed."""
    there = {*files.image_names(image), *(path.name for path in files.described(image))}
    possible = {image.name, *(description_path(image, suffix).name for suffix in DESCRIPTION)}
    required = {description_path(image, files.MANIFEST).name}
    for name in sorted({*sums, *there, *required}):
        if name not in sums:
            yield f"{name} is not in the signed digests."
        elif name in there:
            if digest.of(image.parent / name) != sums[name]:
                yield f"{name} was changed: it differs from its signed digest."
        elif name in possible or name.startswith(f"{image.name}/"):
            yield f"{name} is missing."
        else:
            yield f"{name} is in the signed digests, but is not a file of {image.name}."
    yield from _envelope_problems(image, key)
    yield from _cache_problems(image)


def _envelope_problems(image: Path, key: PublicKey) -> Iterator[str]:
    """The envelopes must contain the statements that are beside the image."""
    from bakery.description import envelopes

    path = description_path(image, ENVELOPES)
    if not path.is_file():
        return
    found = envelopes.payloads(path.read_bytes(), key)
    statements = [description_path(image, suffix) for suffix in files.STATEMENTS]
    if found is None:
        yield f"{path.name} was changed, or is not signed by this key."
    elif list(found) != [one.read_bytes() for one in statements if one.is_file()]:
        yield f"{path.name} does not contain the statements that are beside it."


def _cache_problems(image: Path) -> Iterator[str]:
    """The manifest of the cache may have changed since; for example a level was verified."""
    cached = read_manifest(image) if image.suffix in DISKS else None
    published = description_path(image, files.MANIFEST)
    if not cached or "plan" not in cached or not published.is_file():
        return
    if files.manifest_text(cached).encode() != published.read_bytes():
        yield f"{image.stem}.json differs from {published.name}: it has changed since it was signed."
