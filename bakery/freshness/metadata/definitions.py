"""The repositories that the files of a package manager define.

apt: sources.list(5), in both formats. yum and dnf: yum.conf(5), one section for each repository.
"""

from __future__ import annotations

import configparser
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from bakery.freshness.inventory import Inventory
from bakery.freshness.lock import Repository
from provisioner.packages.repositories import APT, YUM

_ONE_LINE = re.compile(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Defined:
    """Repositories, and the keyrings that they trust by SHA-256."""

    repositories: tuple[Repository, ...] = ()
    keys: Mapping[str, bytes] = field(default_factory=dict)

    def __add__(self, other: Defined) -> Defined:
        return Defined((*self.repositories, *other.repositories), {**self.keys, **other.keys})


# --- apt ---------------------------------------------------------------------------------------


def of_apt(path: str, text: str, keys: Mapping[str, bytes], name: str, priority: int = 500) -> Defined:
    """The repositories of one file. `name` begins their ids; `keys` are the machine's keyrings by path."""
    found = Defined()
    for fields in _deb822(text) if path.endswith(".sources") else _one_line(text):
        found += _of_entry(fields, keys, name, priority)
    return found


def _of_entry(fields: Mapping[str, str], keys: Mapping[str, bytes], name: str, priority: int) -> Defined:
    trusted = _keyrings(fields.get("signed-by", ""), keys)
    digests = {hashlib.sha256(content).hexdigest(): content for content in trusted}
    expires = fields.get("check-valid-until", "yes").strip().lower() not in ("no", "false", "0")
    made = [
        Repository(
            f"{name} {suite}",
            "apt",
            uri.rstrip("/"),
            suite,
            tuple(fields.get("components", "").split()),
            priority=priority,
            security=suite.endswith("-security"),
            expires=expires,
            keys=tuple(digests),
        )
        for uri in fields["uris"].split()
        for suite in fields["suites"].split()
    ]
    return Defined(tuple(made), digests)


def _keyrings(signed_by: str, keys: Mapping[str, bytes]) -> list[bytes]:
    """The keyrings of Signed-By: an embedded key, or files; without it, those that apt trusts for all."""
    if "-----BEGIN" in signed_by:
        rows = [row.strip() for row in signed_by.strip().splitlines()]
        return ["\n".join("" if row == "." else row for row in rows).encode()]
    named = [path for path in signed_by.replace(",", " ").split() if path.startswith("/")]
    wanted = named or [path for path in keys if PurePosixPath(path).match("/etc/apt/trusted.gpg.d/*")]
    return [keys[path] for path in wanted if path in keys]


def _deb822(text: str) -> Iterator[dict[str, str]]:
    kept = "\n".join(row for row in text.splitlines() if not row.startswith("#"))
    for stanza in re.split(r"\n\s*\n", kept):
        fields: dict[str, str] = {}
        name = ""
        for row in stanza.splitlines():
            if row[:1] in (" ", "\t") and name:
                fields[name] += f"\n{row}"
                continue
            name, _, value = row.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() != "no":
            yield {"uris": "", "suites": "", **fields}


def _one_line(text: str) -> Iterator[dict[str, str]]:
    for row in text.splitlines():
        if found := _ONE_LINE.match(row):
            options = dict(option.split("=", 1) for option in (found[1] or "").split() if "=" in option)
            components = found[4].split("#")[0]
            yield {**options, "uris": found[2], "suites": found[3], "components": components}


# --- yum and dnf -------------------------------------------------------------------------------


def of_yum(files: Mapping[str, str], variables: Mapping[str, str]) -> Defined:
    """The enabled repositories of all .repo files, with the variables of yum.conf(5) replaced."""
    found: list[Repository] = []
    for path, text in sorted(files.items()):
        if PurePosixPath(path).match(f"{YUM}/*.repo"):
            found += _sections(text, variables)
    return Defined(tuple(found))


def _sections(text: str, variables: Mapping[str, str]) -> Iterator[Repository]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return  # dnf would not read it either
    for name in parser.sections():
        section = parser[name]
        if section.get("enabled", "1").strip().lower() not in ("1", "yes", "true"):
            continue
        urls = _replaced(section.get("baseurl", ""), variables).split()
        lists = section.get("mirrorlist", "") or section.get("metalink", "")
        yield Repository(
            name,
            "rpm",
            urls[0].rstrip("/") if urls else "",
            mirror_list="" if urls else _replaced(lists, variables).strip(),
            exclude=tuple(re.split(r"[\s,]+", section.get("exclude", "").strip()))
            if section.get("exclude", "").strip()
            else (),
        )


def _replaced(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text)


def yum_variables(found: Inventory, release: str) -> dict[str, str]:
    """$basearch, $arch, $releasever and those in files. `release` is used for $releasever."""
    own = {
        PurePosixPath(path).name: text.strip()
        for path, text in found.files.items()
        if PurePosixPath(path).parent.name == "vars"
    }
    plain = {"basearch": found.architecture, "arch": found.architecture}
    return {**plain, "releasever": release, **own}


# --- all ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sources:
    """What a bake adds to the image's own definitions: deb822 texts, and URLs by repository id.

    `named` is whether an option named the mirror of the distribution; else it was that of this machine.
    """

    distribution: str = ""
    more: str = ""
    release: str = ""
    named: bool = False
    urls: Mapping[str, str] = field(default_factory=dict)


def of_image(found: Inventory, sources: Sources) -> Defined:
    """All repositories of an image, each with its public identity."""
    if found.system == "rpm":
        number = found.release.get("VERSION_ID", "").split(".")[0]
        defined = of_yum(found.files, yum_variables(found, number))
    else:
        defined = _apt_of_image(found, sources)
    named = tuple(
        replace(one, url=sources.urls.get(_option_id(one), one.url)) for one in defined.repositories
    )
    return Defined(tuple(_unique(named)), defined.keys)


def _apt_of_image(found: Inventory, sources: Sources) -> Defined:
    keys, defined = found.keys, Defined()
    if sources.distribution:
        from_mirror = of_apt("bake.sources", sources.distribution, keys, "debian", priority=990)
        public = tuple(
            replace(one, uri="", url=one.uri if sources.named else "") for one in from_mirror.repositories
        )
        defined += Defined(public, from_mirror.keys)
    if sources.more:
        defined += of_apt("more.sources", sources.more, keys, "apt-source")
    for path, text in sorted(found.files.items()):
        if path.startswith(APT):
            defined += of_apt(path, text, keys, path.removeprefix(APT).removesuffix(".sources"))
        elif not sources.distribution and _is_own(path):
            defined += of_apt(path, text, keys, PurePosixPath(path).stem, _priority(sources))
    return defined


def _is_own(path: str) -> bool:
    """Whether the base's own definition: in the folder of the bake, as apt read it there."""
    return "/run/worker-bakery/" in path and not PurePosixPath(path).name.startswith(("worker-", "more."))


def _priority(sources: Sources) -> int:
    return 990 if sources.release else 500


def _option_id(repository: Repository) -> str:
    """The id by which --repository-url names it."""
    return repository.id.split(" ")[0]


def _unique(found: Sequence[Repository]) -> Iterator[Repository]:
    ids: set[str] = set()
    for repository in found:
        name, number = repository.id, 1
        while name in ids:
            number += 1
            name = f"{repository.id} {number}"
        ids.add(name)
        yield replace(repository, id=name)
