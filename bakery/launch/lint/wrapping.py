"""The outside: size, gzip, encoding, first line; then whatever is inside."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import zlib
from collections.abc import Iterator

from bakery.launch import clouds, multipart
from bakery.launch.findings import Finding, error, warning
from bakery.launch.forms import Encoding
from bakery.launch.lint import cloud_config, conf, script
from bakery.launch.lint.context import Context

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MOST = 16 * 1024 * 1024
_HEADERS = "A script begins with #!, a cloud-config with #cloud-config, each on the very first byte."
_SCRIPTS = ("text/x-shellscript", "text/cloud-boothook")
_BY_FIRST_LINE = ("text/plain", "application/octet-stream", "")
_KNOWN_PARTS = frozenset(
    {
        *multipart.KINDS.values(),
        *("text/x-shellscript-per-boot", "text/x-shellscript-per-instance", "text/x-shellscript-per-once"),
        *("application/gzip", "application/x-gzip", "application/x-gunzip", "application/x-compressed"),
    }
)


def check(data: bytes, context: Context) -> list[Finding]:
    """Everything there is to say of it."""
    return [*_size(data, context), *_unwrapped(data, context)]


def _size(data: bytes, context: Context) -> Iterator[Finding]:
    encoding = Encoding(gzip=data.startswith(_GZIP))
    if context.cloud:
        yield from clouds.findings(context.cloud, data, encoding)
        return
    sizes = ((cloud, clouds.counted(cloud, data, encoding)) for cloud in clouds.CLOUDS.values())
    small = [
        f"{cloud.title} ({size - cloud.limit} too many)" for cloud, size in sizes if size > cloud.limit
    ]
    if small:
        yield warning(
            "too-large",
            f"With {len(data)} bytes this is more than some clouds take: {', '.join(small)}.",
            "Say for which cloud it is: --cloud NAME.",
        )


def _unwrapped(data: bytes, context: Context) -> Iterator[Finding]:
    if not data.startswith(_GZIP):
        yield from _plain(data, "", context)
        return
    try:
        inside = _unpacked(data)
    except (OSError, EOFError, zlib.error):
        yield error("broken-gzip", "The gzip is damaged or incomplete.", "Pack it again.", context.where)
        return
    if inside.startswith(_GZIP):
        yield error("gzip-twice", "It is packed by gzip twice.", "Pack it once.", context.where)
    else:
        yield from _plain(inside, "", context)


def _unpacked(data: bytes) -> bytes:
    """Never more than what a cloud could ever take: a small file may unpack to fill the memory."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        inside = file.read(_MOST + 1)
    if len(inside) > _MOST:
        raise OSError("too much")
    return inside


def _plain(data: bytes, kind: str, context: Context) -> Iterator[Finding]:
    """Of a type that is known, or that the first line says."""
    stopped = list(_unreadable(data, context.where))
    yield from stopped
    if any(one.severity == "error" for one in stopped):
        return
    if not kind and multipart.is_multipart(data):
        yield from _multipart(data, context)
        return
    text = data.decode()
    found = kind or multipart.kind_of(data)
    if "\r" in text and found:
        yield warning(
            "crlf",
            "The lines end as on Windows (CR LF).",
            "Save it with Unix line ends (LF), or run dos2unix.",
            context.where,
        )
        text = text.replace("\r\n", "\n")
    yield from _of_kind(text, found, context)


def _unreadable(data: bytes, where: str) -> Iterator[Finding]:
    if not data.strip():
        yield error("empty", "There is nothing in it.", "Generate it again.", where)
    elif data.startswith(_UTF_16):
        yield error("utf-16", "It is encoded as UTF-16.", "Save it as UTF-8.", where)
    elif data.startswith(_BOM):
        yield error(
            "bom",
            "It begins with a byte order mark, so its first line is not recognised.",
            "Save it as UTF-8 without BOM.",
            where,
        )
    elif b"\0" in data:
        yield error("nul-byte", "There is a NUL byte in it.", "Generate it again.", where)
    else:
        try:
            data.decode()
        except UnicodeDecodeError as problem:
            line = data.count(b"\n", 0, problem.start) + 1
            yield error("not-utf8", f"Line {line} is not UTF-8.", "Save it as UTF-8.", where)


def _of_kind(text: str, kind: str, context: Context) -> Iterator[Finding]:
    if kind in _SCRIPTS or kind.startswith("text/x-shellscript-"):
        yield from script.check(text, context)
    elif kind == "text/cloud-config":
        yield from cloud_config.check(text, context)
    elif kind == "text/jinja2":
        yield from _template(text, context)
    elif kind == "text/cloud-config-archive":
        yield from _archive(text, context)
    elif kind in ("text/x-include-url", "text/x-include-once-url"):
        yield from _urls(text, context.where)
    elif not kind:
        yield from _without_header(text, context)


def _template(text: str, context: Context) -> Iterator[Finding]:
    rest = text.partition("\n")[2]
    if conf.path_in(rest):
        yield warning(
            "templated-conf",
            "A Jinja template writes the worker's file: {{ and {% in a value would be replaced.",
            "Write that file in a part of its own, without a template.",
            context.where,
        )
    yield from _of_kind(rest, multipart.kind_of(rest.encode()), context)


def _archive(text: str, context: Context) -> Iterator[Finding]:
    import yaml

    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError:
        yield error("yaml-syntax", "The archive is not YAML.", "Correct it.", context.where)
        return
    if not isinstance(entries, list):
        yield error(
            "not-a-list", "An archive is a list of parts.", "Begin each part with a dash.", context.where
        )
        return
    for number, entry in enumerate(entries, 1):
        body = (
            entry if isinstance(entry, str) else entry.get("content", "") if isinstance(entry, dict) else ""
        )
        kind = str(entry.get("type", "")) if isinstance(entry, dict) else ""
        yield from _plain(str(body).encode(), kind, context.inside(f"part {number}"))


def _urls(text: str, where: str) -> Iterator[Finding]:
    first, *rest = text.splitlines()
    lines = [first.removeprefix("#include-once").removeprefix("#include"), *rest]
    for line in (line.strip() for line in lines):
        if line and not line.startswith(("#", "http://", "https://", "file://")):
            yield error(
                "bad-include", "An #include names something that is no URL.", "Write https://…", where
            )


def _without_header(text: str, context: Context) -> Iterator[Finding]:
    if kind := conf.looks_like(text):
        yield from conf.check(text, context, kind)
        return
    stripped = text.lstrip()
    if stripped != text and multipart.kind_of(stripped.encode()):
        yield error(
            "leading-blank",
            "There are blanks or empty lines before the first line, so cloud-init ignores all of it.",
            _HEADERS,
            context.where,
        )
    elif _is_base64(text):
        yield error(
            "base64-text",
            "It is base64; no cloud decodes what is pasted.",
            "Decode it first.",
            context.where,
        )
    else:
        yield error(
            "unknown-header",
            "The first line does not say what it is, so cloud-init ignores all of it.",
            _HEADERS,
            context.where,
        )


def _is_base64(text: str) -> bool:
    try:
        inside = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return (
        inside.startswith((_GZIP, _BOM))
        or bool(multipart.kind_of(inside))
        or multipart.is_multipart(inside)
    )


def _multipart(data: bytes, context: Context) -> Iterator[Finding]:
    parts = multipart.parts_of(data)
    if not multipart.is_whole(data) or not parts:
        yield error(
            "broken-multipart",
            "The multi-part has no boundary, or does not end with it.",
            "Generate it again: --include FILE.",
            context.where,
        )
        return
    for number, part in enumerate(parts, 1):
        yield from _part(part, context.inside(f"part {number}"))
    yield from cloud_config.merged([part for part in parts if part.kind == "text/cloud-config"])


def _part(part: multipart.Part, context: Context) -> Iterator[Finding]:
    said = multipart.kind_of(part.data)
    if part.kind in _BY_FIRST_LINE:
        yield from _unwrapped(part.data, context)
    elif part.kind not in _KNOWN_PARTS:
        yield warning(
            "unknown-part",
            f"cloud-init ignores parts of type {part.kind[:80]}.",
            "Correct its type.",
            context.where,
        )
    elif _mismatch(part.kind, said):
        yield error(
            "part-mismatch",
            f"The part says that it is {part.kind}, but its first line does not.",
            "Correct its type, or its first line.",
            context.where,
        )
    elif part.data.startswith(_GZIP):
        yield from _unwrapped(part.data, context)
    else:
        yield from _plain(part.data, part.kind, context)


def _mismatch(kind: str, said: str) -> bool:
    if kind.startswith("text/x-shellscript"):
        return said != "text/x-shellscript"
    return kind == "text/cloud-config" and said not in ("text/cloud-config", "")
