"""Options of a bake as the text of a definition file; reading it returns equal options.

The options of the build host are not written: they belong to no definition. bundle.py adds the
customization, which the command line cannot give.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from bakery.bake.options import Options
from bakery.output.formats import FORMATS
from provisioner.roles import NO_CVMFS, CvmfsClient

Value = str | int | bool | Sequence[str]
_BARE = re.compile(r"[A-Za-z0-9_-]+")


Rows = Mapping[str, Value]
Titled = tuple[str, Rows]  # a table and its title; of an entry in an array of tables "[title]"


def text(
    options: Options, key_files: Mapping[str, str], top: Rows | None = None, tables: Sequence[Titled] = ()
) -> str:
    """The definition; paths are relative to the folder of the caller.

    `key_files` are the files of `options.replaced.keys`, by repository. `top` and `tables` are added.
    """
    rows = {**(top or {}), **dict(_top(options))}
    everything = [("", rows), *_tables(options, key_files), *tables]
    return "\n".join("".join(_lines(title, rows)) for title, rows in everything)


def _top(options: Options) -> Iterator[tuple[str, Value]]:
    if options.base_image is None:
        yield "base", options.base
    yield "worker", options.kind
    if options.architecture:
        yield "arch", options.architecture
    yield "format", options.format
    if options.compat:
        yield "compat", True
    supported = FORMATS[options.format].levels
    if options.level != ("boot" if "boot" in supported else supported[-1]):
        yield "verify", options.level
    if options.output:
        yield "output", str(options.output)
    if options.apt_sources:
        yield "apt-sources", [str(path) for path in options.apt_sources]
    if options.replaced.keep:
        yield "keep-repository-urls", True


def _tables(options: Options, key_files: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Value]]]:
    local = options.base_image
    if local:
        rows: dict[str, Value] = {"path": str(local.path), "family": local.family}
        more = {"sha256": local.sha256, "login": local.login}
        yield "base", rows | {key: value for key, value in more.items() if value}
    if options.replaced.urls:
        yield "repository-urls", dict(options.replaced.urls)
    if options.replaced.keys:
        yield "repository-keys", {name: key_files[name] for name in options.replaced.keys}
    for role in options.optional:
        yield f"roles.{role}", dict(_role(role, options))


def _role(role: str, options: Options) -> Iterator[tuple[str, Value]]:
    if role == "ospool" and options.pelican:
        yield "pelican", str(options.pelican)
    if role == ("cvmfs" if "cvmfs" in options.optional else "ospool"):
        prefix = "" if role == "cvmfs" else "cvmfs-"
        yield from ((prefix + key, value) for key, value in _client(options.cvmfs))


def _client(client: CvmfsClient) -> Iterator[tuple[str, Value]]:
    if client.repositories:
        yield "repositories", client.repositories
    if client.proxy:
        yield "proxy", client.proxy
    if client.quota != NO_CVMFS.quota:
        yield "quota", client.quota


def _lines(title: str, rows: Mapping[str, Value]) -> Iterator[str]:
    if title:
        yield f"[{title}]\n"
    yield from (f"{_key(key)} = {_value(value)}\n" for key, value in rows.items())


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: Value) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool | int):
        return str(value).lower()
    return f"[{', '.join(map(_string, value))}]"


def _string(value: str) -> str:
    """A basic string: TOML has JSON's escapes, but does not join surrogates, and wants DEL escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
