"""The definition of one image with all files that it names, to be read on another machine.

All paths are relative and below the folder of the definition; texts are in the definition itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bakery.bake.options import Options, apt_sources
from bakery.definition import printed
from bakery.definition.additions import UNITS
from bakery.definition.printed import Titled, Value
from provisioner.packages.repositories import Repository
from provisioner.roles.customization import Customization, SiteCommand, SiteFile, User


@dataclass(frozen=True)
class Bundle:
    """The text of FILE.toml, where FILE is the name of the image, and the other files by their paths.

    A file is its content, or the path of a file of this machine.
    """

    text: str
    files: Mapping[str, bytes | Path]


@dataclass
class _Files:
    """The files that a bundle has so far."""

    found: dict[str, bytes | Path] = field(default_factory=dict)

    def add(self, path: str, content: bytes | Path) -> str:
        self.found[path] = content
        return path

    def copy(self, folder: str, path: Path, number: int = 0) -> Path:
        """The path in the bundle of a file of this machine."""
        return Path(self.add(f"{folder}/{number}/{path.name}", path))


def bundle(options: Options) -> Bundle:
    """The definition of these options; those of the build host, and the output, are not part of it.

    Raises BadInput for APT sources that cannot be read.
    """
    files = _Files()
    tests = [str(files.copy("tests", path, number)) for number, path in enumerate(options.tests)]
    mirrors = {name: files.add(f"keys/{name}", key.armored) for name, key in options.replaced.keys.items()}
    top = {**dict(_top(options.customization, files)), **({"tests": tests} if tests else {})}
    tables = list(_tables(options.customization, files))
    return Bundle(printed.text(_moved(options, files), mirrors, top, tables), files.found)


def _moved(options: Options, files: _Files) -> Options:
    """The options with the paths in the bundle."""
    local, base = options.base_image, options.base
    if local:
        local = replace(local, path=files.copy("base", local.path))
    elif base.endswith(".toml"):
        base = str(files.copy("base", Path(base)))
    # As one text, because sources name keyrings of this machine.
    lent = [files.add("apt.sources", apt_sources(options).encode())] if options.apt_sources else []
    pelican = files.copy("pelican", options.pelican) if options.pelican else None
    return replace(
        options,
        base=base,
        base_image=local,
        apt_sources=tuple(Path(path) for path in lent),
        pelican=pelican,
        output=None,
    )


def _top(own: Customization, files: _Files) -> Iterator[tuple[str, Value]]:
    certificates = [files.add(f"ca/{name}.pem", data) for name, data in own.ca_certificates]
    rows: dict[str, Value] = {
        "name": own.name,
        "version": own.version,
        "root-size": _size(own.root_size),
        "packages": own.packages,
        "kernel-arguments": own.kernel_arguments,
        "ca-certificates": certificates,
    }
    yield from ((key, value) for key, value in rows.items() if value)


def _size(size: int) -> str:
    """In the largest unit that divides it."""
    unit = max((name for name, one in UNITS.items() if size % one == 0), key=UNITS.__getitem__, default="M")
    return f"{size // UNITS[unit]}{unit}" if size else ""


def _tables(own: Customization, files: _Files) -> Iterator[Titled]:
    services: dict[str, list[str]] = {}
    for unit, state in own.services:
        services.setdefault(state, []).append(unit)
    named: dict[str, dict[str, Value]] = {
        "worker-defaults": dict(own.worker),
        "condor": dict(own.condor),
        "services": dict(services),
        "sysctl": dict(own.sysctl),
    }
    yield from ((title, rows) for title, rows in named.items() if rows)
    yield from (("[repositories]", dict(_repository(one, files))) for one in own.repositories)
    yield from (("[files]", _file(one, f"files/{n}", files)) for n, one in enumerate(own.files))
    yield from (("[users]", dict(_user(one))) for one in own.users)
    yield from (("[commands]", _command(one, f"commands/{n}", files)) for n, one in enumerate(own.commands))


def _repository(one: Repository, files: _Files) -> Iterator[tuple[str, Value]]:
    [key] = one.keys
    rows = {
        "id": one.id,
        "title": one.title,
        "url": one.url,
        "suite": one.suite,
        "components": one.components,
        "exclude": one.exclude,
        "key": files.add(f"keys/site-{one.id}", key.armored) if key.armored else "",
        "key-url": key.url,
        "fingerprint": key.fingerprint,
    }
    yield from ((name, value) for name, value in rows.items() if value)


def _file(one: SiteFile, path: str, files: _Files) -> dict[str, Value]:
    where = {"path": one.path, "mode": f"{one.mode:04o}", "owner": one.owner}
    return {**where, **_content(one.data, "source", path, files)}


def _content(data: bytes, key: str, path: str, files: _Files) -> dict[str, Value]:
    """The key `text`, or for other content than UTF-8 text, `key` with the path of a file."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return {key: files.add(path, data)} if "\0" in text else {"text": text}


def _user(one: User) -> Iterator[tuple[str, Value]]:
    rows: dict[str, Value] = {
        "name": one.name,
        "uid": one.uid,
        "home": one.home,
        "shell": one.shell,
        "groups": one.groups,
        "system": one.system,
    }
    yield from ((name, value) for name, value in rows.items() if value)


def _command(one: SiteCommand, path: str, files: _Files) -> dict[str, Value]:
    what: dict[str, Value] = {"argv": one.argv}
    if one.script:
        what = _content(one.script, "script", path, files)
    return {"title": one.title, "phase": one.phase, **what}
