"""The keys of an image as bakery.bake.options.Options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.bake.options import LocalBase, Options, base_named
from bakery.definition import additions, content, model
from bakery.definition.beside import Folder
from bakery.definition.mistakes.positions import Path as Place
from bakery.definition.mistakes.problems import Wrong, name, unknown
from bakery.image import bases, cvmfs, repositories
from bakery.image.repositories import NOTHING, Replaced
from bakery.output import formats
from bakery.output.formats import FORMATS
from provisioner.errors import BadInput
from provisioner.packages.repositories import Key, Repository
from provisioner.roles import NO_CVMFS, CvmfsClient, Family


@dataclass(frozen=True)
class _Base:
    """The base of an image: its name or TOML file, or a disk image, and the system in it."""

    name: str
    local: LocalBase | None
    family: Family
    release: str


def options(image: model.Image, keys: Mapping[str, Any], label: str, folder: Folder) -> Options:
    """The options of a bake; those of the build host have their defaults. Raises Wrong.

    `keys` are those of the image as the file has them, in its order.
    """
    base, roles = _base(image, folder), tuple(keys.get("roles", {}))
    added = additions.customization(image, label, folder)
    replaced = _replaced(image, base, folder)
    _check_repositories(added.repositories, base)
    return Options(
        base=base.name,
        kind=image.worker,
        format=image.format,
        compat=image.compat,
        level=_level(image),
        output=folder.path / image.output if image.output else None,
        optional=roles,
        cvmfs=_cvmfs(image.roles, keys.get("roles", {})),
        apt_sources=_apt_sources(image, roles, folder),
        pelican=_pelican(image.roles, folder),
        architecture=_architecture(image),
        base_image=base.local,
        replaced=replaced,
        customization=added,
        tests=_tests(image, folder),
    )


def _architecture(image: model.Image) -> str:
    return image.arch if isinstance(image.arch, str) else ""


def _level(image: model.Image) -> formats.Level:
    supported = FORMATS[image.format].levels
    if not isinstance(image.verify, str):
        return "boot" if "boot" in supported else supported[-1]
    if image.verify not in supported:
        message = f'verify: the format {image.format} does not support "{image.verify}".'
        raise Wrong(("verify",), message, f"Use {' or '.join(supported)}.")
    return image.verify


def _base(image: model.Image, folder: Folder) -> _Base:
    named = image.base
    if isinstance(named, model.LocalBase):
        path = folder.find(("base", "path"), named.path)
        local = LocalBase(path, named.family, named.sha256.lower(), named.login)
        return _Base(bases.DEFAULT, local, named.family, "")
    if named.endswith(".toml"):
        named = str(folder.find(("base",), named))
    try:
        found = base_named(named)
    except BadInput as error:
        raise Wrong(("base",), f"base: {error.message}", error.hint) from None
    if image.root_size:
        _check_root_size(image.root_size, found)
    architecture = _architecture(image)
    if architecture not in ("", *found.architectures):
        message = f"{found.name} is not available for {architecture}."
        raise Wrong(("arch",), message, f"Use {' or '.join(found.architectures)}.")
    return _Base(named, None, found.family, found.release)


def _check_root_size(text: str, base: bases.Base) -> None:
    from bakery.image import customization_checks

    try:
        customization_checks.check_root_size(additions.size(text), base)
    except BadInput as error:
        raise Wrong(("root-size",), f"root-size: {error.message}", error.hint) from None


def _check_repositories(added: Sequence[Repository], base: _Base) -> None:
    """Raise Wrong for a repository that does not fit the package manager of the base."""
    known = {one.id for one in repositories.of_base(base.family, base.release)}
    is_apt = not base.family.startswith("el")
    for number, one in enumerate(added):
        place: Place = ("repositories", number)
        if one.id in known:
            hint = "Choose another id, or use repository-urls to replace its URL."
            raise Wrong(
                (*place, "id"), f"{name(place)}: worker-bakery adds a repository {one.id} itself.", hint
            )
        if is_apt and not one.suite:
            hint = 'Set suite, for example "trixie", or "./" for a folder of packages.'
            raise Wrong(place, f"{name(place)} has no suite, which APT requires.", hint)
        for key, value in (
            ("exclude", one.exclude if is_apt else ""),
            ("suite", "" if is_apt else one.suite),
        ):
            if value:
                message = f"{name(place)}.{key} does not apply to the family {base.family}."
                raise Wrong((*place, key), message, f"Remove {key}.")


def _replaced(image: model.Image, base: _Base, folder: Folder) -> Replaced:
    if image.keep_repository_urls and not image.repository_urls:
        message = "keep-repository-urls requires repository-urls."
        raise Wrong(("keep-repository-urls",), message, "Set [repository-urls], or remove it.")
    in_plan = {**({"repository-urls": image.repository_urls} if image.keep_repository_urls else {})}
    known = sorted(one.id for one in repositories.of_base(base.family, base.release))
    for table, ids in (in_plan | {"repository-keys": image.repository_keys}).items():
        for one in ids:
            if one not in known:
                message = f"{table}: the plan of this base has no repository {one}."
                if not known:
                    raise Wrong((table, one), message, "It has none.")
                raise unknown((table, one), message, known)
    if not image.repository_urls and not image.repository_keys:
        return NOTHING
    keys = {
        one: Key(f"worker-{one}", content.public_key(("repository-keys", one), file, folder))
        for one, file in image.repository_keys.items()
    }
    return Replaced(dict(image.repository_urls), keys, image.keep_repository_urls)


def _cvmfs(roles: model.Roles, given: Mapping[str, Any]) -> CvmfsClient:
    """The settings of the CVMFS client, of [roles.cvmfs] or else of [roles.ospool]."""
    place: Place = ("roles", "ospool")
    if isinstance(roles.cvmfs, model.Cvmfs):
        double = [key for key in given.get("ospool", {}) if key.startswith("cvmfs-")]
        if double:
            message = f"roles.ospool.{double[0]} cannot be used with [roles.cvmfs]."
            raise Wrong((*place, double[0]), message, "Set it in [roles.cvmfs].")
        place, found = ("roles", "cvmfs"), roles.cvmfs
        values = found.repositories, found.proxy, found.quota
    elif isinstance(roles.ospool, model.Ospool):
        own = roles.ospool
        values = own.cvmfs_repositories, own.cvmfs_proxy, own.cvmfs_quota
    else:
        return NO_CVMFS
    if not values[0] and "ospool" not in given:
        message = "roles.cvmfs has no repositories."
        raise Wrong(place, message, 'Write repositories = ["atlas.cern.ch"].')
    return cvmfs.client(tuple(given), ",".join(values[0]), values[1] or None, values[2])


def _apt_sources(image: model.Image, roles: Sequence[str], folder: Folder) -> tuple[Path, ...]:
    from bakery.image import apt_source

    if image.apt_sources and not roles:
        raise Wrong(("apt-sources",), "apt-sources requires an optional role.", "Add [roles.NAME].")
    found = []
    for number, text in enumerate(image.apt_sources):
        place: Place = ("apt-sources", number)
        folder.read(place, text)  # refuses a token
        found.append(folder.find(place, text))
        try:
            apt_source.read(found[-1:])
        except BadInput as error:
            raise Wrong(place, f"{name(place)}: {error.message}", error.hint) from None
    return tuple(found)


def _pelican(roles: model.Roles, folder: Folder) -> Path | None:
    if not isinstance(roles.ospool, model.Ospool) or not roles.ospool.pelican:
        return None
    return folder.find(("roles", "ospool", "pelican"), roles.ospool.pelican)


def _tests(image: model.Image, folder: Folder) -> tuple[Path, ...]:
    """The testinfra files, and files that they need; all are copied to one folder."""
    found = tuple(folder.find(("tests", number), text) for number, text in enumerate(image.tests))
    names = [path.name for path in found]
    for number, file in enumerate(names):
        if file in names[:number]:
            message = f"tests contains two files with the name {file}."
            raise Wrong(("tests", number), message, "Rename one of them.")
    if names and not any(re.fullmatch(r"test_.*\.py|.*_test\.py", file) for file in names):
        message = "tests has no file that pytest collects."
        raise Wrong(("tests",), message, "Rename one to test_NAME.py.")
    return found
