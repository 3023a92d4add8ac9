"""The content of files, keys, certificates and scripts: from the definition, or from files beside it."""

from __future__ import annotations

import base64
import binascii
import re
import string
from collections.abc import Mapping

from msgspec import UNSET

from bakery.definition import model, texts
from bakery.definition.beside import Folder
from bakery.definition.mistakes.positions import Path
from bakery.definition.mistakes.problems import Wrong, name
from bakery.image import openpgp
from provisioner import did_you_mean
from provisioner.packages.repositories import Key
from provisioner.process.scrub import has_secret

_CERTIFICATE = re.compile(
    r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----\r?\n(.*?)-----END (?:TRUSTED |X509 )?CERTIFICATE-----",
    re.DOTALL,
)


def of_file(place: Path, file: model.SiteFile, variables: Mapping[str, str], folder: Folder) -> bytes:
    """The content of a file of the image. Raises Wrong."""
    text, source = file.text, file.source
    if isinstance(text, str) == isinstance(source, str):
        raise _exactly_one(place, ("text", "source"), none=not isinstance(text, str))
    if isinstance(source, str):
        key, data = "source", folder.read((*place, "source"), source)
    else:
        key, data = "text", str(text).encode()
    return _filled((*place, key), data, variables) if file.template else data


def _filled(place: Path, data: bytes, variables: Mapping[str, str]) -> bytes:
    """A template with its variables replaced."""
    try:
        text = data.decode()
        filled = string.Template(text).substitute(variables)
    except UnicodeDecodeError:
        message = f"{name(place)} is not UTF-8, so it cannot be a template."
        raise Wrong(place, message, "Remove template = true.") from None
    except KeyError as error:
        unknown = str(error.args[0])
        hint = did_you_mean.did_you_mean(unknown, variables) or f"Define {unknown}, or write $${unknown}."
        raise Wrong(place, f"{name(place)}: [variables] has no {unknown}.", hint) from None
    except ValueError as error:
        row = re.search(r"line \d+", str(error))
        message = f"{name(place)}: {row[0] if row else 'a line'} of the template has a $ without a name."
        raise Wrong(place, message, "Write $$ for a dollar sign.") from None
    if has_secret(filled):
        raise texts.token(place)
    return filled.encode()


def of_command(place: Path, command: model.Command, folder: Folder) -> tuple[tuple[str, ...], bytes]:
    """argv and script of a command; one of them is empty. Raises Wrong."""
    given = [key for key in ("argv", "script", "text") if getattr(command, key) is not UNSET]
    if len(given) != 1:
        raise _exactly_one(place, ("argv", "script", "text"), none=not given)
    place = (*place, given[0])
    if isinstance(command.argv, tuple):
        if not command.argv or not command.argv[0]:
            raise Wrong(place, f"{name(place)} is empty.", 'Write argv = ["PROGRAM", "ARGUMENT"].')
        return command.argv, b""
    if isinstance(command.script, str):
        data = folder.read(place, command.script)
    else:
        data = str(command.text).encode()
    if not data.startswith((b"#!", b"\x7fELF")):
        message = f"{name(place)}: the first line of a script must name its interpreter."
        raise Wrong(place, message, "Begin it with #!/bin/sh.")
    return (), data


def _exactly_one(place: Path, keys: tuple[str, ...], *, none: bool) -> Wrong:
    names = f"{', '.join(keys[:-1])} and {keys[-1]}"
    if none:
        return Wrong(place, f"{name(place)} has none of {names}.", "Set one of them.")
    return Wrong(place, f"{name(place)} has more than one of {names}.", "Keep one of them.")


def certificate(place: Path, text: str, folder: Folder) -> tuple[str, bytes]:
    """The name of a CA certificate in the image, and its PEM. Raises Wrong."""
    data = folder.read(place, text)
    content = data.decode("ascii", "replace")
    if "PRIVATE KEY-----" in content:
        message = f"{name(place)}: {text} contains a private key."
        raise Wrong(place, message, "Keep only the certificate in it.")
    if not _is_certificate(content):
        hint = "Convert a DER file with openssl x509 -inform DER -in FILE -out FILE.pem."
        raise Wrong(place, f"{name(place)}: {text} is not a certificate in PEM format.", hint)
    stem = re.sub(r"\.(pem|crt|cer)$", "", text.rpartition("/")[2])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", stem):
        hint = "Rename it: letters, digits and . _ - only."
        raise Wrong(place, f"{name(place)}: {text} cannot be the name of a certificate.", hint)
    return stem, data


def _is_certificate(content: str) -> bool:
    """Whether it has certificates, and each is base64 of a DER sequence."""
    try:
        found = [
            base64.b64decode("".join(one.split()), validate=True) for one in _CERTIFICATE.findall(content)
        ]
    except binascii.Error:
        return False
    return bool(found) and all(one.startswith(b"\x30") for one in found)


def key_of(place: Path, repository: model.Repository, folder: Folder) -> Key:
    """The key of a repository. Raises Wrong."""
    fingerprint = repository.fingerprint.replace(" ", "").upper()
    if repository.key and isinstance(repository.key_url, str):
        hint = "Keep one of them."
        raise Wrong(place, f"{name(place)} has both key and key-url.", hint)
    if repository.key:
        data = _public_key((*place, "key"), repository.key, folder, fingerprint)
        return Key(f"site-{repository.id}", data)
    if isinstance(repository.key_url, str):
        if len(fingerprint) != 40:
            hint = "Set fingerprint to the 40 digits of a key that you have verified."
            raise Wrong((*place, "key-url"), f"{name(place)}.key-url requires a fingerprint.", hint)
        return Key(f"site-{repository.id}", url=repository.key_url, fingerprint=fingerprint)
    hint = "Set key to a file with its armored public key, or key-url and fingerprint."
    raise Wrong(place, f"{name(place)} has no key; unsigned repositories are not supported.", hint)


def public_key(place: Path, text: str, folder: Folder) -> bytes:
    """An armored public key. Raises Wrong."""
    return _public_key(place, text, folder, "")


def _public_key(place: Path, text: str, folder: Folder, fingerprint: str) -> bytes:
    data = folder.read(place, text)
    try:
        found = openpgp.fingerprints(data)
    except ValueError as error:
        message = f"{name(place)}: {text} is {error}, expected an armored public key."
        if str(error).startswith("not"):
            message = f"{name(place)}: {text} is {error}."
        raise Wrong(place, message, "Use gpg --armor --export.") from None
    if fingerprint and set(found) != {fingerprint}:
        message = f"{name(place)}: {text} has the fingerprint {', '.join(found)}, expected {fingerprint}."
        raise Wrong((*place[:-1], "fingerprint"), message, "Verify the key with its owner.")
    return data
