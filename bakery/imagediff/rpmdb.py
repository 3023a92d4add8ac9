"""Read rpm's database with rpm, from a copy: rpm locks and repairs the databases that it opens."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bakery.imagediff.tree import Tree
from provisioner.errors import BadInput, CommandFailed
from provisioner.process import run

FOLDERS = (b"/usr/lib/sysimage/rpm", b"/var/lib/rpm")
# Berkeley DB (EL7, EL8), ndb, sqlite (later).
_DATABASES = (b"Packages", b"Packages.db", b"rpmdb.sqlite")
_VERSION = "%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}"
_FORMAT = f"%{{NAME}} %{{ARCH}} {_VERSION}\n"
# The rows M and L of provisioner/installed.py.
_FACTS = (
    f"M\t%{{NAME}}\t%{{ARCH}}\t{_VERSION}\t%{{SOURCERPM}}\t\t%{{LONGSIZE}}\t%{{VENDOR}}\n"
    "L\t%{NAME}\t%{LICENSE}\n"
)
_SIZES = "%{NAME} %|LONGSIZE?{%{LONGSIZE}}:{%{SIZE}}|\n"  # bytes


def packages(tree: Tree) -> dict[str, dict[str, str]]:
    """Return packages by name and architecture, with all installed versions.

    Raises MissingHere without rpm, BadInput for a database that rpm cannot read.
    """
    found: dict[str, list[str]] = {}
    for folder in FOLDERS:
        for row in rows(tree, folder, _FORMAT):
            name, architecture, version = row.split(" ")
            found.setdefault(f"{name}.{architecture}", []).append(version)
    return {name: {"version": " ".join(sorted(versions))} for name, versions in found.items()}


def sizes(tree: Tree) -> dict[str, int]:
    """Return the bytes that each package installs, by its own record; all versions together.

    Raises MissingHere, BadInput as `packages` does.
    """
    found: Counter[str] = Counter()
    for folder in FOLDERS:
        for row in rows(tree, folder, _SIZES):
            name, size = row.split(" ")
            found[name] += int(size)
    return dict(found)


def facts(tree: Tree) -> list[str]:
    """Return source, size, vendor and license of all packages as rows M and L of provisioner/installed.py.

    Raises as `packages`.
    """
    return [row for folder in FOLDERS for row in rows(tree, folder, _FACTS)]


def rows(tree: Tree, folder: bytes, form: str) -> Iterable[str]:
    """The output lines of a query of all packages in the database in `folder`; () if there is none.

    Raises MissingHere without rpm, BadInput for a database that rpm cannot read.
    """
    names = [name for name, node in tree.children(folder).items() if node.kind == "file"]
    if not set(names) & set(_DATABASES):
        return ()
    run.require("rpm")
    with run.temporary_folder() as copy:
        for name in names:
            (copy / os.fsdecode(name)).write_bytes(tree.read(folder + b"/" + name) or b"")
        return _queried(copy, form)


def _queried(copy: Path, form: str) -> list[str]:
    argv = ["rpm", "--dbpath", str(copy), "--nosignature", "--nodigest", "-qa", "--qf", form]
    try:
        done = run.call(argv)
    except CommandFailed as error:
        raise BadInput(f"rpm cannot read the image's packages. {error.message}") from None
    return done.stdout.splitlines()
