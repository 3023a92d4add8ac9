"""Bases: the stock images from which workers are made, one TOML file each in packer/bases/.

A base is built from packages (`[build]`), downloaded from a vendor (`[image.ARCHITECTURE]`, or `[image]`
for the file's only architecture, with url and sha256 or sha512), or a local file.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from bakery.image import base_keys, mkosi
from bakery.image.mkosi import Build
from bakery.runtime import data, digest, toml
from bakery.runtime.mirror import Mirror
from provisioner import did_you_mean, named_file
from provisioner.errors import BadInput, WrongChecksum
from provisioner.roles import FAMILIES, Family

DEFAULT = "debian13"
Firmware = Literal["bios", "efi"]

# As `uname -m` prints them, with synonyms.
ARCHITECTURES = {"x86_64": ("x86-64", "amd64"), "aarch64": ("arm64",)}
# The default user of vendors' cloud-init configurations.
_LOGINS: dict[Family, str] = {"debian": "debian", "ubuntu": "ubuntu", "el7": "centos"}
_DIGITS = {"sha256": 64, "sha512": 128}


@dataclass(frozen=True)
class VendorImage:
    """An image to download; `digest` is that of the served file, `algorithm` a name that hashlib knows."""

    url: str
    digest: str
    algorithm: str = "sha256"


@dataclass(frozen=True)
class LocalImage:
    """A user's file, which is never modified."""

    path: Path
    digest: str  # sha256


@dataclass(frozen=True)
class Base:
    """A stock image.

    `htcondor` is a series, `successor` the name of another base. `proof` says how a base of the user's own
    was tested; what was shown of ours is in packer/proofs.json (bakery/base_proofs).
    """

    name: str
    title: str
    family: Family
    architecture: str
    end_of_life: str  # ISO date, "" if unknown
    login: str
    firmware: tuple[Firmware, ...]
    tested: bool
    source: Build | VendorImage | LocalImage
    release: str = ""  # of the distribution, as its package repositories name it
    file_system: str = ""
    htcondor: str = ""
    proof: str = ""
    successor: str = ""
    architectures: tuple[str, ...] = ()  # with an image

    @property
    def id(self) -> str:
        """The digest of the image, or of the recipe that builds it."""
        if isinstance(self.source, Build):
            # The configuration of mkosi without the mirror; mkosi spells x86_64 x86-64.
            recipe = json.dumps(mkosi.files(self.source, Mirror("", ""), Path()), sort_keys=True)
            spelled = ARCHITECTURES[self.architecture][0]
            dated = f"\n{self.source.snapshot}" if self.source.snapshot else ""
            return hashlib.sha256(f"{spelled}\n{recipe}{dated}".encode()).hexdigest()
        return self.source.digest

    def has_ended(self, today: datetime.date) -> bool:
        return bool(self.end_of_life) and datetime.date.fromisoformat(self.end_of_life) < today


# --- lookup --------------------------------------------------------------------------------


def known() -> tuple[Base, ...]:
    """Return all bases of this program, for this machine's architecture if they support it."""
    return tuple(read(path) for path in sorted(data.BASES.glob("*.toml")))


def find(name: str, architecture: str = "") -> Base:
    """Return a base by name or by the path of a TOML file; by default for this machine's architecture.

    Raises BadInput.
    """
    path = Path(name) if name.endswith(".toml") else data.BASES / f"{name}.toml"
    if not path.is_file() or path.suffix != ".toml":
        raise _unknown(name)
    base = read(path, architecture)
    if base.architecture != (architecture or base.architecture):
        raise BadInput(f"{base.name} is not available for {architecture}, only for {_listed(base)}.")
    return base


def _unknown(name: str) -> BadInput:
    names, own = [base.name for base in known()], data.BASES / f"{DEFAULT}.toml"
    family = [base.name for base in known() if base.family == name.casefold()]
    meant = did_you_mean.question(family or did_you_mean.similar(name, names))
    others = f"Available: {', '.join(names)}; or give the path of a TOML file such as {own}."
    return BadInput(f"There is no base {name!r}.", f"{meant} {others}".strip())


def read(path: Path, architecture: str = "") -> Base:
    """Return the base of a TOML file, for the given or this machine's architecture, else for its first.

    Raises BadInput.
    """
    try:
        table = toml.loads(named_file.text(path))
        base_keys.check(table, str(path))
        return _base(table, architecture or host())
    except OSError as error:
        raise BadInput(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path} is not UTF-8: line {number}.", "Save the file as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not TOML: {error}.") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{path} does not describe a base: {error}.") from None


def local(path: Path, family: str, sha256: str = "", login: str = "", architecture: str = "") -> Base:
    """Return a base that is a user's file; reads the whole file. Raises BadInput, WrongChecksum."""
    machine = architecture or host()
    if family not in FAMILIES:
        hint = did_you_mean.hint([family], FAMILIES, f"--family must be one of {', '.join(FAMILIES)}.")
        raise BadInput(f"There is no family {family!r}.", hint)
    return Base(
        name=re.sub(r"[^A-Za-z0-9.]+", "-", path.stem)[:60].strip("-.") or "local",
        title=str(path),
        family=family,
        architecture=machine,
        end_of_life="",
        login=login or _LOGINS.get(family, "cloud-user"),
        firmware=("efi",) if machine == "aarch64" else ("bios", "efi"),
        tested=False,
        source=LocalImage(path.absolute(), _digest(path, sha256)),
        proof="none: a user's file",
    )


def _digest(path: Path, expected: str) -> str:
    if not path.is_file():
        raise BadInput(f"There is no file {path}.", "Give the path of a disk image.")
    try:
        expected = hexadecimal(expected) if expected else ""
        found = digest.of(path)
    except ValueError as error:
        raise BadInput(f"--sha256: {error}.") from None
    except OSError as error:
        raise BadInput(f"Cannot read {path}: {error.strerror}.") from None
    if expected not in ("", found):
        raise WrongChecksum(
            f"{path} has the sha256 {found}, expected {expected}; it was not used.", "Download it again."
        )
    return found


def host() -> str:
    """Return this machine's architecture."""
    return os.uname().machine


def warning(base: Base, today: datetime.date) -> str:
    """Return the warning for a base past its end of life, "" for other bases."""
    if not base.has_ended(today):
        return ""
    instead = f" Use a supported base such as --base {base.successor}." if base.successor else ""
    return f"{base.title} reached its end of life on {base.end_of_life} and gets no updates.{instead}"


def _listed(base: Base) -> str:
    return ", ".join(base.architectures)


# --- from TOML ---------------------------------------------------------------------------------


def _base(table: dict[str, Any], preferred: str) -> Base:
    if table["family"] not in FAMILIES:
        raise ValueError(f"family {table['family']!r} is not one of {', '.join(FAMILIES)}")
    architectures = _architectures(table)
    architecture = preferred if preferred in architectures else architectures[0]
    return Base(
        name=table["name"],
        title=table["title"],
        family=cast(Family, table["family"]),
        architecture=architecture,
        end_of_life=_date(table["end_of_life"]),
        login=table["login"],
        firmware=("efi",) if architecture == "aarch64" else _firmware(table["firmware"]),
        tested=bool(table["tested"]),
        source=_build(table["build"]) if "build" in table else _image(_of(table["image"], architecture)),
        release=table["build"]["release"] if "build" in table else table.get("release", table["name"]),
        file_system=table.get("file_system", ""),
        htcondor=table.get("htcondor", ""),
        proof=table.get("proof", ""),
        successor=table.get("successor", ""),
        architectures=architectures,
    )


def _architectures(table: dict[str, Any]) -> tuple[str, ...]:
    """Return the file's only architecture, or those for which it has images."""
    if "architecture" in table:
        return (architecture_named(table["architecture"]),)
    return tuple(architecture_named(name) for name in table["image"])


def architecture_named(name: str) -> str:
    """Return the architecture as `uname -m` prints it. Raises ValueError."""
    for architecture, others in ARCHITECTURES.items():
        if name in (architecture, *others):
            return architecture
    spelled = [word for names in ARCHITECTURES.items() for word in (names[0], *names[1])]
    meant = "".join(f" (did you mean {word}?)" for word in did_you_mean.similar(name, spelled)[:1])
    raise ValueError(f"architecture {name!r} is not one of {', '.join(ARCHITECTURES)}{meant}")


def _of(images: dict[str, Any], architecture: str) -> dict[str, Any]:
    if "url" in images:
        return images
    return next(image for name, image in images.items() if architecture_named(name) == architecture)


def _date(value: object) -> str:
    return datetime.date.fromisoformat(str(value)).isoformat()


def _firmware(values: Sequence[str]) -> tuple[Firmware, ...]:
    if not values or set(values) - {"bios", "efi"}:
        raise ValueError("firmware must be bios, efi or both")
    return tuple(cast(Firmware, value) for value in values)


def _build(table: dict[str, Any]) -> Build:
    return Build(
        distribution=table["distribution"],
        release=table["release"],
        root_size=table["root_size"],
        kernel_command_line=_texts(table["kernel_command_line"]),
        packages=_texts(table["packages"]),
    )


def _image(table: dict[str, Any]) -> VendorImage:
    algorithm = "sha512" if "sha512" in table else "sha256"
    pinned = hexadecimal(str(table[algorithm]), algorithm)
    return VendorImage(checked_url(str(table["url"])), pinned, algorithm)


def hexadecimal(text: str, algorithm: str = "sha256") -> str:
    """Return a digest in lower case. Raises ValueError."""
    digits = _DIGITS[algorithm]
    if not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", text):
        raise ValueError(f"{algorithm} must be {digits} hexadecimal digits")
    return text.lower()


def checked_url(url: str) -> str:
    """Return the URL. Raises ValueError for other schemes, and for passwords, which messages would show."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "file"):
        raise ValueError(f"{url.partition('://')[0]!r} is not a supported scheme: http, https, file")
    if "@" in parts.netloc:
        raise ValueError("a URL must not contain a user name or password")
    if parts.scheme != "file" and not parts.hostname:
        raise ValueError(f"{url!r} has no host")
    return url


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
