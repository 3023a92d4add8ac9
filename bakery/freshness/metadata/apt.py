"""The metadata of an apt repository: InRelease (or Release with Release.gpg) and Packages.

The format is described in Debian's wiki, "DebianRepository/Format". The signature is verified by gpgv(1)
against the keyrings of the lock, as apt does.
"""

from __future__ import annotations

import base64
import datetime
import email.utils
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping

from bakery.freshness.lock import Index, Repository, Seen
from bakery.freshness.metadata.offers import Head, Offer
from bakery.sources.http import Answer, Get
from provisioner.errors import Unreachable, WrongChecksum
from provisioner.process import run

_ARMOR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)
_COMPRESSIONS = (".xz", ".zst", ".gz", ".bz2", "")  # in the order of preference
_VERSION = re.compile(rb"^Version: *(\S+)", re.MULTILINE)
_ARCHITECTURE = re.compile(rb"^Architecture: *(\S+)", re.MULTILINE)


def ask(
    repository: Repository,
    url: str,
    architecture: str,
    keys: Mapping[str, bytes],
    seen: Seen | None,
    get: Get,
    now: datetime.datetime | None = None,
) -> Head:
    """Ask for the metadata; one conditional request if it did not change.

    Raises Unreachable: no answer, or metadata that has expired; WrongChecksum: no trusted signature.
    """
    place = folder(repository, url)
    known = seen or Seen("")
    answer = get(f"{place}/InRelease", known.etag, known.modified)
    signature = b""
    if answer.status == 404:
        answer = get(f"{place}/Release", known.etag, known.modified)
        if answer.status == 200:
            signature = _found(get(f"{place}/Release.gpg"), place).body
    digest = hashlib.sha256(_found(answer, place).body).hexdigest()
    if seen and (answer.status == 304 or digest == seen.digest):
        return Head(seen, changed=False, security=repository.security)
    text = _verified(answer.body, signature, [keys[name] for name in repository.keys], place)
    release = fields(text)
    _check_date(release, repository, place, now or datetime.datetime.now(datetime.UTC))
    found = Seen(
        digest, answer.etag, answer.modified, tuple(indexes(release, repository, architecture)), place
    )
    same = bool(seen) and seen is not None and seen.indexes == found.indexes
    return Head(found, changed=not same, security=is_security(release, repository))


def folder(repository: Repository, url: str) -> str:
    suite = repository.suite
    if suite.endswith("/"):  # a flat repository
        return f"{url}/{suite.strip('/.')}".rstrip("/")
    return f"{url}/dists/{suite}"


def _found(answer: Answer, folder: str) -> Answer:
    if answer.status == 404:
        raise Unreachable(f"{folder} has neither InRelease nor a signed Release.")
    return answer


def is_security(release: Mapping[str, str], repository: Repository) -> bool:
    """Debian's security archive has the label Debian-Security, Ubuntu's suites are called NAME-security."""
    return repository.security or "security" in release.get("Label", "").lower()


def fields(text: str) -> dict[str, str]:
    """The fields of a Release file; values keep their lines."""
    found: dict[str, str] = {}
    name = ""
    for row in text.splitlines():
        if row.startswith(" ") and name:
            found[name] += f"\n{row.strip()}"
        elif ":" in row:
            name, _, value = row.partition(":")
            found[name] = value.strip()
    return found


def indexes(release: Mapping[str, str], repository: Repository, architecture: str) -> Iterator[Index]:
    """The package indexes to read: one of each component, in its best compression.

    Raises WrongChecksum if the file lists no SHA-256 digests.
    """
    if "SHA256" not in release:
        raise WrongChecksum(f"The Release file of {repository.id} has no SHA256 digests.")
    rows = (row.split() for row in release["SHA256"].splitlines())
    listed = {row[2].removeprefix("./"): row[0] for row in rows if len(row) == 3}
    for stem in _stems(release, repository, architecture):
        names = (f"{stem}{suffix}" for suffix in _COMPRESSIONS)
        best = next((name for name in names if name in listed), None)
        if best:
            yield Index(_by_hash(best, listed[best], release), listed[best])


def _stems(release: Mapping[str, str], repository: Repository, architecture: str) -> Iterator[str]:
    if repository.suite.endswith("/"):
        yield "Packages"
        return
    separate = "all" in release.get("Architectures", "").split()
    if "Packages" in release.get("No-Support-for-Architecture-all", "").split():
        separate = False
    for component in repository.components:
        yield f"{component}/binary-{architecture}/Packages"
        if separate:
            yield f"{component}/binary-all/Packages"


def _by_hash(path: str, digest: str, release: Mapping[str, str]) -> str:
    """The path that survives an update of the mirror; its end tells the compression."""
    if release.get("Acquire-By-Hash") != "yes":
        return path
    folder, _, name = path.rpartition("/")
    return f"{folder}/by-hash/SHA256/{digest}#{name}".lstrip("/")


def offers(text: bytes, names: Collection[str], *, security: bool) -> Iterator[Offer]:
    """The versions of these packages in a Packages file."""
    wanted = {name.encode() for name in names}
    for paragraph in text.split(b"\n\n"):
        row = paragraph.lstrip(b"\n")
        if not row.startswith(b"Package: "):
            continue
        name = row[9 : row.find(b"\n")].strip()
        version, architecture = _VERSION.search(row), _ARCHITECTURE.search(row)
        if name in wanted and version and architecture:
            yield Offer(name.decode(), architecture[1].decode(), version[1].decode(), security)


# --- signatures --------------------------------------------------------------------------------


def _check_date(
    release: Mapping[str, str], repository: Repository, folder: str, now: datetime.datetime
) -> None:
    until = email.utils.parsedate_to_datetime(release["Valid-Until"]) if "Valid-Until" in release else None
    if until and repository.expires and until.replace(tzinfo=until.tzinfo or datetime.UTC) < now:
        raise Unreachable(
            f"The metadata of {folder} has expired: it was valid until {release['Valid-Until']}.",
            "The mirror is no longer updated; choose another.",
        )


def _verified(content: bytes, signature: bytes, keyrings: Collection[bytes], folder: str) -> str:
    """The signed text. Raises WrongChecksum, MissingHere (gpgv)."""
    if not keyrings:
        raise WrongChecksum(f"No key is known for {folder}; its signature cannot be verified.")
    run.require("gpgv")
    with run.temporary_folder() as work:
        argv = ["gpgv", "--status-fd", "1"]
        for number, keyring in enumerate(keyrings):
            (work / f"{number}.gpg").write_bytes(binary(keyring))
            argv += ["--keyring", str(work / f"{number}.gpg")]
        (work / "signed").write_bytes(content)
        if signature:
            (work / "signature").write_bytes(signature)
            argv += [str(work / "signature"), str(work / "signed")]
        else:
            argv += ["--output", str(work / "text"), str(work / "signed")]
        status = run.call(argv, expect=(0, 1, 2)).stdout
        # Signatures by further keys that we do not know are no fault, as for apt.
        if "[GNUPG:] GOODSIG" not in status or "[GNUPG:] BADSIG" in status:
            raise WrongChecksum(
                f"The metadata of {folder} has no signature by a key that the image trusts.",
                "Choose another mirror, or pass its key: --repository-key, or Signed-By of --apt-source.",
            )
        return (work / ("signed" if signature else "text")).read_text("utf-8", "replace")


def binary(keyring: bytes) -> bytes:
    """A keyring without ASCII armor, which gpgv does not read. RFC 9580, section 6.2."""
    if b"-----BEGIN" not in keyring:
        return keyring
    return b"".join(map(_dearmored, _ARMOR.findall(keyring.replace(b"\r", b""))))


def _dearmored(block: bytes) -> bytes:
    """Decode the inside of an armored block: headers, an empty line, base64, a checksum."""
    rows = [row.strip() for row in block.split(b"\n")]
    body = rows[rows.index(b"") + 1 :] if b"" in rows[:-1] else rows
    return base64.b64decode(b"".join(row for row in body if row and not row.startswith(b"=")))
