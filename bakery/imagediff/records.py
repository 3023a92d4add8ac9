"""The meaning of an image's files as records: names with fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from bakery.imagediff import rpmdb
from bakery.imagediff.tree import Node, Tree, printable

Records = dict[str, dict[str, str]]

DPKG_STATUS = b"/var/lib/dpkg/status"
# systemd.unit(5), "Unit File Load Path"; the administrator's folder comes first.
_ADMIN = b"/etc/systemd/system"
_LOAD_PATH = (_ADMIN, b"/usr/lib/systemd/system", b"/lib/systemd/system")
_UNIT = re.compile(rb".+\.(service|socket|target|timer|path|mount|automount|swap|slice|scope)")
_INSTANCE = re.compile(rb"@.*(\.\w+)$")
_INSTALL = re.compile(rb"^\s*\[Install\]\s*$", re.MULTILINE)
_NULL = b"/dev/null"


def packages(tree: Tree) -> Records:
    """Return the packages of dpkg and rpm. Raises MissingHere, BadInput if rpm's cannot be read."""
    return _dpkg_packages(tree) | rpmdb.packages(tree)


def _dpkg_packages(tree: Tree) -> Records:
    """Return dpkg's packages by name and architecture; see deb-control(5) for paragraphs."""
    return {
        f"{fields['Package']}:{fields.get('Architecture', '')}": {
            "version": fields.get("Version", ""),
            "status": fields.get("Status", ""),
        }
        for fields in dpkg_paragraphs(tree)
    }


def dpkg_paragraphs(tree: Tree) -> Iterator[dict[str, str]]:
    """Yield the fields of each package that dpkg knows, with the first line of their values."""
    found = map(_paragraph, (tree.read(DPKG_STATUS) or b"").split(b"\n\n"))
    yield from (fields for fields in found if "Package" in fields)


def _paragraph(text: bytes) -> dict[str, str]:
    """Return the fields with the first line of their values."""
    rows = (row.partition(b":") for row in text.split(b"\n") if not row.startswith((b" ", b"\t")))
    return {printable(name): printable(value.strip()) for name, _, value in rows}


def units(tree: Tree) -> Records:
    """Return the state of each unit file, in systemctl's terms, and the units that want it."""
    folders = {folder: tree.children(folder) for folder in _LOAD_PATH}
    wanted: dict[bytes, set[bytes]] = {}
    for by, name in _links(tree):
        # An instance such as getty@tty1.service belongs to its template getty@.service.
        wanted.setdefault(_INSTANCE.sub(rb"@\1", name), set()).add(by)
    return {
        printable(name): {
            "state": _state(tree, name, folders, name in wanted),
            "wanted by": " ".join(sorted(map(printable, wanted.get(name, ())))),
        }
        for name in {name for folder in folders.values() for name in _units_in(folder)}
    }


def _units_in(folder: Mapping[bytes, Node]) -> Iterator[bytes]:
    """Yield unit files and masks, but not aliases."""
    for name, node in folder.items():
        if _UNIT.fullmatch(name) and (node.kind == "file" or node.target == _NULL):
            yield name


def _links(tree: Tree) -> Iterator[tuple[bytes, bytes]]:
    """Yield what the administrator enabled: the wanting unit and the unit; for aliases "alias NAME"."""
    for name, node in tree.children(_ADMIN).items():
        if node.kind == "folder" and name.endswith((b".wants", b".requires", b".upholds")):
            for unit, link in tree.children(_ADMIN + b"/" + name).items():
                if link.kind == "link":
                    yield name, unit
        elif node.kind == "link" and node.target != _NULL:
            yield b"alias " + name, node.target.rpartition(b"/")[2]


def _state(tree: Tree, name: bytes, folders: Mapping[bytes, Mapping[bytes, Node]], enabled: bool) -> str:
    """Return the state from the first folder with the unit. An empty file masks, like /dev/null."""
    for path, folder in folders.items():
        node = folder.get(name)
        if node is not None and node.kind == "file":
            text = tree.read(path + b"/" + name)
            return _installed(text, enabled) if text else "masked"
        if node is not None and node.target == _NULL:
            return "masked"
    return "static"


def _installed(text: bytes, enabled: bool) -> str:
    if enabled:
        return "enabled"
    return "disabled" if _INSTALL.search(text) else "static"


def accounts(tree: Tree) -> Records:
    """Return users and groups; of a password only whether it is set."""
    passwords = {row[0]: row[1] for row in _rows(tree, b"/etc/shadow", 2)}
    users = {
        f"user {name}": {
            "uid": uid,
            "gid": gid,
            "comment": comment,
            "home": home,
            "shell": shell,
            "password": _password(passwords.get(name, "")),
        }
        for name, _, uid, gid, comment, home, shell in _rows(tree, b"/etc/passwd", 7)
    }
    groups = {
        f"group {name}": {"gid": gid, "members": members}
        for name, _, gid, members in _rows(tree, b"/etc/group", 4)
    }
    return users | groups


def _rows(tree: Tree, path: bytes, least: int) -> Iterator[list[str]]:
    """Yield lines with at least `least` fields, cut to that number; other lines are not accounts."""
    for row in (tree.read(path) or b"").split(b"\n"):
        fields = [printable(field) for field in row.split(b":")]
        if len(fields) >= least:
            yield fields[:least]


def _password(hashed: str) -> str:
    if not hashed:
        return "none"
    return "locked" if hashed.startswith(("!", "*")) else "set"


SECTIONS: dict[str, Callable[[Tree], Records]] = {
    "packages": packages,
    "units": units,
    "accounts": accounts,
}
