"""The outside: size, gzip, encoding, how it begins; then whatever is inside.

What user-data is, is decided as cloud-init 25.1 decides it (cloudinit/user_data.py, cloudinit/handlers/).
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zlib
from collections.abc import Iterator

from bakery.userdata.delivery import clouds, multipart
from bakery.userdata.delivery.encodings import Encoding
from bakery.userdata.findings import Finding, error, warning
from bakery.userdata.lint import aliases, cloud_config, conf, script, unknown, written
from bakery.userdata.lint.context import Context
from bakery.userdata.lint.written import Leaf

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MOST = 16 * 1024 * 1024
MOST_JUDGED = 1024 * 1024
_HEADERS = "A script begins with #!, a cloud-config with #cloud-config."
_SCRIPT = "text/x-shellscript"
_BY_FREQUENCY = tuple(f"{_SCRIPT}-per-{name}" for name in ("boot", "instance", "once"))
_INCLUDES = ("text/x-include-url", "text/x-include-once-url")
# What has a handler; includes and archives are resolved before.
_HANDLED = frozenset(
    {
        *(_SCRIPT, *_BY_FREQUENCY, "text/cloud-boothook", "text/jinja2", "text/part-handler"),
        *("text/cloud-config", "text/cloud-config-jsonp"),
    }
)
_RESOLVED = frozenset({*_INCLUDES, "text/cloud-config-archive"})
_IN_TEMPLATE = frozenset({_SCRIPT, "text/cloud-boothook", "text/cloud-config", "text/cloud-config-jsonp"})
_TEMPLATE = re.compile(r"##\s*template:\s*jinja\s*", re.IGNORECASE)
_BOOTHOOK = "#cloud-boothook"
Seen = Finding | Leaf


def check(data: bytes, context: Context) -> list[Finding]:
    """Everything there is to say of it; of what no cloud takes, only that."""
    if too_large := list(_too_large(data, context.where)):
        return too_large
    seen = [*_size(data, context), *_unwrapped(data, context)]
    found = [one for one in seen if isinstance(one, Finding)]
    leaves = [one for one in seen if isinstance(one, Leaf)]
    return list(dict.fromkeys((*found, *written.findings(leaves, context))))


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


def _too_large(data: bytes, where: str) -> Iterator[Finding]:
    """The largest limit of a cloud is half of it; what gzip is to hide from that is as slow to look at."""
    if len(data) > MOST_JUDGED:
        yield error(
            "too-large",
            f"With {len(data)} bytes it is more than any cloud takes: nothing else is looked at.",
            "Let the machine fetch the rest at boot: #include https://…",
            where,
        )


def _unwrapped(data: bytes, context: Context) -> Iterator[Seen]:
    if not data.startswith(_GZIP):
        yield from _plain(data, context)
        return
    try:
        inside = _unpacked(data)
    except (OSError, EOFError, zlib.error):
        yield error("broken-gzip", "The gzip is damaged or incomplete.", "Pack it again.", context.where)
        return
    if inside.startswith(_GZIP):
        yield error("gzip-twice", "It is packed by gzip twice.", "Pack it once.", context.where)
    else:
        yield from _plain(inside, context)


def _unpacked(data: bytes) -> bytes:
    """Never more than what a cloud could ever take: a small file may unpack to fill the memory."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        inside = file.read(_MOST + 1)
    if len(inside) > _MOST:
        raise OSError("too much")
    return inside


def _plain(data: bytes, context: Context) -> Iterator[Seen]:
    """The whole, as `convert_string` of cloud-init gets it."""
    stopped = list(_unreadable(data, context.where))
    yield from stopped
    if stopped:
        return
    if multipart.is_multipart(data):
        yield from _multipart(data, context)
    elif kind := multipart.kind_of(data):
        yield from _of_kind(data, kind, "", "", context)
    else:
        yield from _without_header(data.decode(), context)


def _unreadable(data: bytes, where: str) -> Iterator[Finding]:
    if too_large := list(_too_large(data, where)):
        yield from too_large
    elif not data.strip():
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
    else:
        try:
            data.decode()
        except UnicodeDecodeError as problem:
            line = data.count(b"\n", 0, problem.start) + 1
            yield error("not-utf8", f"Line {line} is not UTF-8.", "Save it as UTF-8.", where)


def _of_kind(data: bytes, kind: str, name: str, merge: str, context: Context) -> Iterator[Seen]:
    """A part of a type that cloud-init has decided on."""
    stopped = list(_unreadable(data, context.where))
    yield from stopped
    if stopped:
        return
    text = data.decode()
    if kind in _INCLUDES:
        yield from _urls(text, context.where)
    elif kind == "text/cloud-config-archive":
        yield from _archive(text, context)
    elif kind == "text/jinja2":
        yield from _template(text, name, merge, context)
    elif kind == "text/cloud-config":
        yield from _config(text, name, merge, context)
    elif kind == _SCRIPT or kind in _BY_FREQUENCY or kind == "text/cloud-boothook":
        yield from _program(text, kind, name, context)
    else:
        yield Leaf(kind, text, name, context)


def _config(text: str, name: str, merge: str, context: Context) -> Iterator[Seen]:
    if "\0" in text:
        yield error("nul-byte", "There is a NUL byte in it.", "Generate it again.", context.where)
        return
    if "\r" in text:
        yield _crlf(context.where)
    found = list(cloud_config.check(text, context))
    yield from found
    if not any(one.id == "yaml-alias" for one in found):
        yield Leaf("text/cloud-config", text, name, context, merge)


def _crlf(where: str) -> Finding:
    fix = "Save it with Unix line ends (LF), or run dos2unix."
    return warning("crlf", "The lines end as on Windows (CR LF).", fix, where)


def _program(text: str, kind: str, name: str, context: Context) -> Iterator[Seen]:
    """A script, as the handler of cloud-init writes it to a file."""
    if "\r" in text:
        yield _crlf(context.where)
        text = _with_unix_lines(text)
    if kind == "text/cloud-boothook":
        text = text.removeprefix(_BOOTHOOK).lstrip()
    if "\0" in text:
        yield from _nul(text, context.where)
        text = text.replace("\0", "")
    found = list(script.check(text, context))
    yield from found
    if not any(one.id == "shell-syntax" for one in found):  # what it does up to there says nothing
        yield Leaf(kind, text, name, context)


def _with_unix_lines(text: str) -> str:
    """As `dos2unix` of cloudinit/util.py: the first line decides."""
    end = text.find("\n")
    return text.replace("\r\n", "\n") if end > 0 and text[end - 1] == "\r" else text


def _nul(text: str, where: str) -> Iterator[Finding]:
    """bash leaves them out, but where its first line has one, it takes the script for a binary file."""
    works = script.interpreter(text) == "bash" and "\0" not in text.partition("\n")[0]
    made = warning if works else error
    yield made("nul-byte", "There is a NUL byte in it.", "Generate it again.", where)


def _template(text: str, name: str, merge: str, context: Context) -> Iterator[Seen]:
    first, _, rest = text.partition("\n")
    if not _TEMPLATE.fullmatch(first):
        why = (
            "The line ## template: jinja does not stand alone on the very first line, so cloud-init fails."
        )
        yield error("leading-blank", why, "Write it so.", context.where)
        return
    if conf.path_in(rest):
        yield warning(
            "templated-conf",
            "A Jinja template writes the worker's file: {{ and {% in a value would be replaced.",
            "Write that file in a part of its own, without a template.",
            context.where,
        )
    kind = multipart.kind_of(rest.encode())
    if "{%" in rest or "{#" in rest:
        yield Leaf("text/jinja2", rest, name, context)
    elif kind in _IN_TEMPLATE:
        made = re.sub(r"\{\{.*?\}\}", unknown.TEMPLATE, rest, flags=re.DOTALL)
        yield from _of_kind(made.encode(), kind, name, merge, context)
    else:
        why = "What the template makes is neither a script nor a cloud-config, so cloud-init ignores it."
        yield error("unknown-header", why, _HEADERS, context.where)


def _archive(text: str, context: Context) -> Iterator[Seen]:
    import yaml

    try:
        if found := aliases.problem(yaml.compose(text, yaml.SafeLoader), context.where):
            yield found
            return
        entries = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        yield error("yaml-syntax", "The archive is not YAML.", "Correct it.", context.where)
        return
    if not isinstance(entries, list):
        yield error(
            "not-a-list", "An archive is a list of parts.", "Begin each part with a dash.", context.where
        )
        return
    for number, entry in enumerate(entries, 1):
        yield from _archived(entry, context.inside(f"part {number}"))


def _archived(entry: object, context: Context) -> Iterator[Seen]:
    """As `_explode_archive` of cloudinit/user_data.py: what no type says is a cloud-config."""
    said = entry if isinstance(entry, dict) else {"content": entry}
    content = said.get("content", "")
    data = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogatepass")
    kind = str(said.get("type") or "") or multipart.kind_of(data) or "text/cloud-config"
    merge = str(said.get("merge-type") or said.get("Merge-Type") or "")
    if kind in _HANDLED:
        yield from _of_kind(data, kind, str(said.get("filename") or ""), merge, context)
    elif data.strip():
        yield _ignored(kind, context.where)


def _ignored(kind: str, where: str) -> Finding:
    return error(
        "unknown-part", f"cloud-init ignores parts of type {kind[:80]}.", "Correct its type.", where
    )


def _urls(text: str, where: str) -> Iterator[Finding]:
    """As `_do_include` of cloudinit/user_data.py reads the lines."""
    for line in text.splitlines():
        for start in ("#include-once", "#include"):
            if line.lower().startswith(start):
                line = line[len(start) :].lstrip()
                break
        url = line.strip()
        if url and not line.startswith("#") and not url.startswith(("http://", "https://", "file://")):
            yield error(
                "bad-include", "An #include names something that is no URL.", "Write https://…", where
            )


def _without_header(text: str, context: Context) -> Iterator[Seen]:
    if kind := conf.looks_like(text):
        yield from conf.check(text, context, kind)
    elif "\0" in text:
        yield error("nul-byte", "There is a NUL byte in it.", "Generate it again.", context.where)
    elif re.match(r"(?i)\s*content-type:\s*multipart/", text):
        yield error(
            "broken-multipart",
            "The multi-part does not say MIME-Version, so cloud-init does not recognise it.",
            "Generate it again: --include FILE.",
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
            "It does not begin with what it is, so cloud-init ignores all of it.",
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


def _multipart(data: bytes, context: Context) -> Iterator[Seen]:
    parts = multipart.parts_of(data)
    if not parts:
        yield error(
            "broken-multipart",
            "The multi-part has no parts between boundaries, so cloud-init finds nothing in it.",
            "Generate it again: --include FILE.",
            context.where,
        )
        return
    alone = len(parts) == 1 and not data.lower().lstrip().startswith((b"content-type:", b"mime-version:"))
    if not multipart.is_whole(data) and not alone:
        yield warning(
            "broken-multipart",
            "The multi-part does not end with its boundary; perhaps something is missing.",
            "Generate it again: --include FILE.",
            context.where,
        )
    for number, part in enumerate(parts, 1):
        yield from _part(part, context if alone else context.inside(f"part {number}"))


def _part(part: multipart.Part, context: Context) -> Iterator[Seen]:
    """As `_process_msg` of cloudinit/user_data.py."""
    data, kind = part.data, multipart.kind_of_part(part)
    if part.kind in multipart.PACKED:
        try:
            data = _unpacked(data)
        except (OSError, EOFError, zlib.error):
            yield error(
                "broken-gzip", "The gzip is damaged or incomplete.", "Pack it again.", context.where
            )
            return
        kind = multipart.kind_of(data) or "text/plain"
    if kind not in _HANDLED | _RESOLVED:
        if data.strip():
            yield _ignored(kind, context.where)
        else:
            yield warning("empty", "There is nothing in it.", "Leave it away.", context.where)
    elif _mismatch(kind, data):
        yield error(
            "part-mismatch",
            f"The part says that it is {kind}, but it does not begin so.",
            "Correct its type, or its first line.",
            context.where,
        )
    else:
        yield from _of_kind(data, kind, part.name, part.merge, context)


def _mismatch(kind: str, data: bytes) -> bool:
    said = multipart.kind_of(data)
    if kind == _SCRIPT or kind in _BY_FREQUENCY:
        return said != _SCRIPT
    return kind == "text/cloud-config" and said not in (kind, "")
