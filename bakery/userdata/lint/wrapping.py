"""Check user-data as a whole: its size, compression, encoding and type; then each of its parts.

The types are determined as cloud-init 25.1 determines them (cloudinit/user_data.py, cloudinit/handlers/).
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
MOST_CHECKED = 1024 * 1024
_HEADERS = "A script begins with #!, a cloud-config with #cloud-config."
_SCRIPT = "text/x-shellscript"
_BY_FREQUENCY = tuple(f"{_SCRIPT}-per-{name}" for name in ("boot", "instance", "once"))
_INCLUDES = ("text/x-include-url", "text/x-include-once-url")
# The types that have a handler; includes and archives are resolved before.
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
Found = Finding | Leaf


def check(data: bytes, context: Context) -> list[Finding]:
    """All findings of a user-data. If no cloud accepts its size, that is the only one."""
    if too_large := list(_too_large(data, context.where)):
        return too_large
    results = [*_size(data, context), *_decompressed(data, context)]
    found = [one for one in results if isinstance(one, Finding)]
    leaves = [one for one in results if isinstance(one, Leaf)]
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
            f"The user-data has {len(data)} bytes, more than some clouds accept: {', '.join(small)}.",
            "Name the cloud with --cloud NAME.",
        )


def _too_large(data: bytes, where: str) -> Iterator[Finding]:
    """A size above twice the largest limit of a cloud. This also limits the time of a check."""
    if len(data) > MOST_CHECKED:
        yield error(
            "too-large",
            f"The user-data has {len(data)} bytes, more than any cloud accepts; nothing else was checked.",
            "Let the instance fetch the rest at boot: #include https://…",
            where,
        )


def _decompressed(data: bytes, context: Context) -> Iterator[Found]:
    if not data.startswith(_GZIP):
        yield from _text(data, context)
        return
    try:
        inside = _unpacked(data)
    except (OSError, EOFError, zlib.error):
        yield _broken_gzip(context.where)
        return
    if inside.startswith(_GZIP):
        what = "The user-data is compressed twice; cloud-init decompresses it once."
        yield error("gzip-twice", what, "Compress it once.", context.where)
    else:
        yield from _text(inside, context)


def _unpacked(data: bytes) -> bytes:
    """Decompress gzip data, which can be much larger. Raises OSError, EOFError or zlib.error."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        inside = file.read(_MOST + 1)
    if len(inside) > _MOST:
        raise OSError("the decompressed data is too large")
    return inside


def _broken_gzip(where: str) -> Finding:
    return error("broken-gzip", "The gzip data is damaged or incomplete.", "Compress it again.", where)


def _text(data: bytes, context: Context) -> Iterator[Found]:
    """Check the decompressed user-data, the input of cloud-init's `convert_string`."""
    fatal = list(_not_text(data, context.where))
    yield from fatal
    if fatal:
        return
    if multipart.is_multipart(data):
        yield from _multipart(data, context)
    elif kind := multipart.kind_of(data):
        yield from _of_kind(data, kind, "", "", context)
    else:
        yield from _unrecognized(data.decode(), context)


def _not_text(data: bytes, where: str) -> Iterator[Finding]:
    if too_large := list(_too_large(data, where)):
        yield from too_large
    elif not data.strip():
        yield error("empty", "The user-data is empty.", "Generate it again.", where)
    elif data.startswith(_UTF_16):
        what = "The text is encoded as UTF-16, so cloud-init does not recognize it."
        yield error("utf-16", what, "Save it as UTF-8.", where)
    elif data.startswith(_BOM):
        yield error(
            "bom",
            "The text begins with a byte order mark, so cloud-init does not recognize its first line.",
            "Save it as UTF-8 without BOM.",
            where,
        )
    else:
        try:
            data.decode()
        except UnicodeDecodeError as problem:
            line = data.count(b"\n", 0, problem.start) + 1
            yield error("not-utf8", f"Line {line} is not UTF-8.", "Save it as UTF-8.", where)


def _of_kind(data: bytes, kind: str, name: str, merge: str, context: Context) -> Iterator[Found]:
    """Check a part of a known type."""
    fatal = list(_not_text(data, context.where))
    yield from fatal
    if fatal:
        return
    text = data.decode()
    if kind in _INCLUDES:
        yield from _urls(text, context.where)
    elif kind == "text/cloud-config-archive":
        yield from _archive(text, context)
    elif kind == "text/jinja2":
        yield from _template(text, name, merge, context)
    elif kind == "text/cloud-config":
        yield from _cloud_config(text, name, merge, context)
    elif kind == _SCRIPT or kind in _BY_FREQUENCY or kind == "text/cloud-boothook":
        yield from _script(text, kind, name, context)
    else:
        yield Leaf(kind, text, name, context)


def _cloud_config(text: str, name: str, merge: str, context: Context) -> Iterator[Found]:
    if "\0" in text:
        what = "The cloud-config contains a NUL byte, so YAML cannot parse it."
        yield error("nul-byte", what, "Generate it again.", context.where)
        return
    if "\r" in text:
        yield _crlf(context.where)
    found = list(cloud_config.check(text, context))
    yield from found
    if not any(one.id == "yaml-alias" for one in found):
        yield Leaf("text/cloud-config", text, name, context, merge)


def _crlf(where: str) -> Finding:
    fix = "Save it with Unix line ends (LF), or run dos2unix."
    return warning("crlf", "Lines end with CR LF, as on Windows.", fix, where)


def _script(text: str, kind: str, name: str, context: Context) -> Iterator[Found]:
    """Check a script as cloud-init's handler writes it to a file."""
    if "\r" in text:
        yield _crlf(context.where)
        text = _with_unix_lines(text)
    if kind == "text/cloud-boothook":
        text = text.removeprefix(_BOOTHOOK).lstrip()
    if "\0" in text:
        yield from _nul_byte(text, context.where)
        text = text.replace("\0", "")
    found = list(script.check(text, context))
    yield from found
    # After a syntax error, the effect of the script is not known.
    if not any(one.id == "shell-syntax" for one in found):
        yield Leaf(kind, text, name, context)


def _with_unix_lines(text: str) -> str:
    """Convert as `dos2unix` of cloudinit/util.py does: the first line decides."""
    end = text.find("\n")
    return text.replace("\r\n", "\n") if end > 0 and text[end - 1] == "\r" else text


def _nul_byte(text: str, where: str) -> Iterator[Finding]:
    """bash ignores NUL bytes, but takes a script for a binary file if the first line has one."""
    works = script.interpreter(text) == "bash" and "\0" not in text.partition("\n")[0]
    made = warning if works else error
    yield made("nul-byte", "The script contains a NUL byte.", "Generate it again.", where)


def _template(text: str, name: str, merge: str, context: Context) -> Iterator[Found]:
    first, _, rest = text.partition("\n")
    if not _TEMPLATE.fullmatch(first):
        why = "## template: jinja is not the whole first line, so cloud-init fails."
        yield error("leading-blank", why, "Write only that in the first line.", context.where)
        return
    if conf.path_in(rest):
        yield warning(
            "templated-conf",
            "A Jinja template writes the worker's file: Jinja evaluates {{ and {% in its values.",
            "Write the file in a separate part that is not a template.",
            context.where,
        )
    kind = multipart.kind_of(rest.encode())
    if "{%" in rest or "{#" in rest:
        yield Leaf("text/jinja2", rest, name, context)
    elif kind in _IN_TEMPLATE:
        made = re.sub(r"\{\{.*?\}\}", unknown.TEMPLATE, rest, flags=re.DOTALL)
        yield from _of_kind(made.encode(), kind, name, merge, context)
    else:
        why = "The template gives neither a script nor a cloud-config, so cloud-init ignores it."
        yield error("unknown-header", why, _HEADERS, context.where)


def _archive(text: str, context: Context) -> Iterator[Found]:
    import yaml

    try:
        if found := aliases.problem(yaml.compose(text, yaml.SafeLoader), context.where):
            yield found
            return
        entries = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        what = "The archive is not valid YAML."
        yield error("yaml-syntax", what, "Correct the indentation or the quotes.", context.where)
        return
    if not isinstance(entries, list):
        what = "The archive is not a list of parts."
        yield error("not-a-list", what, "Begin each part with a dash.", context.where)
        return
    for number, entry in enumerate(entries, 1):
        yield from _archived(entry, context.inside(f"part {number}"))


def _archived(entry: object, context: Context) -> Iterator[Found]:
    """Check a part as `_explode_archive` of cloudinit/user_data.py reads it; default: cloud-config."""
    declared = entry if isinstance(entry, dict) else {"content": entry}
    content = declared.get("content", "")
    data = content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogatepass")
    kind = str(declared.get("type") or "") or multipart.kind_of(data) or "text/cloud-config"
    merge = str(declared.get("merge-type") or declared.get("Merge-Type") or "")
    if kind in _HANDLED:
        yield from _of_kind(data, kind, str(declared.get("filename") or ""), merge, context)
    elif data.strip():
        yield _ignored(kind, context.where)


def _ignored(kind: str, where: str) -> Finding:
    what = f"cloud-init ignores a part of type {kind[:80]}."
    return error("unknown-part", what, "Correct the type.", where)


def _urls(text: str, where: str) -> Iterator[Finding]:
    """Check the lines as `_do_include` of cloudinit/user_data.py reads them."""
    for line in text.splitlines():
        for start in ("#include-once", "#include"):
            if line.lower().startswith(start):
                line = line[len(start) :].lstrip()
                break
        url = line.strip()
        if url and not line.startswith("#") and not url.startswith(("http://", "https://", "file://")):
            what = "A line of an #include is not a URL, so cloud-init cannot fetch it."
            yield error("bad-include", what, "Write https://…", where)


def _unrecognized(text: str, context: Context) -> Iterator[Found]:
    if kind := conf.looks_like(text):
        yield from conf.check(text, context, kind)
    elif "\0" in text:
        yield error("nul-byte", "The user-data contains a NUL byte.", "Generate it again.", context.where)
    elif re.match(r"(?i)\s*content-type:\s*multipart/", text):
        yield error(
            "broken-multipart",
            "The multi-part message has no MIME-Version header, so cloud-init does not recognize it.",
            "Generate it again with --include FILE.",
            context.where,
        )
    elif _is_base64(text):
        yield error(
            "base64-text",
            "The user-data is base64 text, which cloud-init does not recognize.",
            "Decode it first.",
            context.where,
        )
    else:
        yield error(
            "unknown-header",
            "cloud-init does not recognize the first line and ignores the user-data.",
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


def _multipart(data: bytes, context: Context) -> Iterator[Found]:
    parts = multipart.parts_of(data)
    if not parts:
        yield error(
            "broken-multipart",
            "The multi-part message has no parts between its boundaries, so cloud-init ignores it.",
            "Generate it again with --include FILE.",
            context.where,
        )
        return
    alone = len(parts) == 1 and not data.lower().lstrip().startswith((b"content-type:", b"mime-version:"))
    if not multipart.is_whole(data) and not alone:
        yield warning(
            "broken-multipart",
            "The multi-part message does not end with its boundary; it may be incomplete.",
            "Generate it again with --include FILE.",
            context.where,
        )
    for number, part in enumerate(parts, 1):
        yield from _part(part, context if alone else context.inside(f"part {number}"))


def _part(part: multipart.Part, context: Context) -> Iterator[Found]:
    """Check a part as `_process_msg` of cloudinit/user_data.py reads it."""
    data, kind = part.data, multipart.kind_of_part(part)
    if part.kind in multipart.PACKED:
        try:
            data = _unpacked(data)
        except (OSError, EOFError, zlib.error):
            yield _broken_gzip(context.where)
            return
        kind = multipart.kind_of(data) or "text/plain"
    if kind not in _HANDLED | _RESOLVED:
        if data.strip():
            yield _ignored(kind, context.where)
        else:
            yield warning("empty", "The part is empty.", "Remove the part.", context.where)
    elif _mismatch(kind, data):
        yield error(
            "part-mismatch",
            f"The type of the part is {kind}, but its first line is not of that type.",
            "Correct the type or the first line.",
            context.where,
        )
    else:
        yield from _of_kind(data, kind, part.name, part.merge, context)


def _mismatch(kind: str, data: bytes) -> bool:
    declared = multipart.kind_of(data)
    if kind == _SCRIPT or kind in _BY_FREQUENCY:
        return declared != _SCRIPT
    return kind == "text/cloud-config" and declared not in (kind, "")
