"""Check a cloud-config: with our own checks, and with `cloud-init schema` where it is installed."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import posixpath
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bakery.userdata import characters
from bakery.userdata.delivery.multipart import MERGE
from bakery.userdata.findings import Finding, error, warning
from bakery.userdata.lint import aliases, conf, unknown
from bakery.userdata.lint.context import Context
from provisioner.process import run

# The top-level keys of the schema of cloud-init 25.1, and those that its templates and merging add.
_KEYS = """
allow_public_ssh_keys ansible apk_repos apt apt_pipelining apt_reboot_if_required apt_update apt_upgrade
authkey_hash autoinstall bootcmd byobu_by_default ca-certs ca_certs chef chpasswd cloud_config_modules
cloud_final_modules cloud_init_modules create_hostname_file datasource datasource_list def_log_file
device_aliases disable_ec2_metadata disable_root disable_root_opts disk_setup drivers fan final_message fqdn
fs_setup groups growpart grub-dpkg grub_dpkg hostname keyboard landscape launch-index locale
locale_configfile lxd manage_etc_hosts manage_resolv_conf mcollective merge_how merge_type migrate
mount_default_fields mounts network no_ssh_fingerprints ntp output package_reboot_if_required
package_update package_upgrade packages password phone_home power_state prefer_fqdn_over_hostname
preserve_hostname puppet random_seed rancher reporting resize_rootfs resolv_conf rh_subscription rsyslog
runcmd salt_minion snap snappy spacewalk ssh ssh_authorized_keys ssh_deletekeys ssh_fp_console_blacklist
ssh_genkeytypes ssh_import_id ssh_key_console_blacklist ssh_keys ssh_publish_hostkeys ssh_pwauth
ssh_quiet_keygen swap syslog_fix_perms system_info timezone ubuntu_advantage ubuntu_pro unverified_modules
updates user users vendor_data version wireguard write_files yum_repo_dir yum_repos zypper
"""
KEYS = frozenset(_KEYS.split())
_LISTS = ("bootcmd", "runcmd", "packages", "write_files", "ssh_authorized_keys", "mounts")
_BASE64 = ("b64", "base64")
_GZIP = ("gz", "gzip")
_BOTH = ("gz+base64", "gzip+base64", "gz+b64", "gzip+b64")
_PLAIN = ("", "text/plain")
_MOST = 16 * 1024 * 1024
_Item = tuple[Any, str]


def check(text: str, context: Context) -> Iterator[Finding]:
    """Check one cloud-config by itself."""
    import yaml

    try:
        tree = _composed(text)
        if tree is None:
            return
        if found := aliases.problem(tree, context.where):
            yield found
            return
        config = _constructed(text)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        yield _syntax(problem, text, context.where)
        return
    if not isinstance(config, dict):
        what = "The cloud-config is not a mapping, so cloud-init ignores it."
        yield error("not-a-mapping", what, "Write lines of the form key: value.", context.where)
        return
    yield from _duplicates(tree, context.where)
    yield from _unknown_keys(config, context.where)
    yield from _not_lists(config, context.where)
    yield from _write_files(config.get("write_files"), _spelled_permissions(tree), context)
    yield from _schema(text, context.where)


# Each is needed twice, and parsing takes most of the time.
@lru_cache(maxsize=2)
def _composed(text: str) -> Any:
    import yaml

    return yaml.compose(text, yaml.SafeLoader)


@lru_cache(maxsize=2)
def _constructed(text: str) -> Any:
    import yaml

    tree = _composed(text)
    return None if tree is None else yaml.SafeLoader("").construct_document(tree)


@dataclass(frozen=True)
class Merged:
    """The lists of all cloud-configs after cloud-init's merging, each entry with its part and number."""

    entries: Mapping[str, Sequence[tuple[Any, str]]]
    findings: Sequence[Finding]


def merged(configs: Sequence[tuple[str, str, Context]]) -> Merged:
    """Merge cloud-configs, in their order: of each its text, its Merge-Type header and its context."""
    entries: dict[str, list[tuple[Any, str]]] = {}
    found = []
    for text, header, context in configs:
        config = _mapping(text)
        options_of = _merge_options(config, header)
        own = {key: config[key] for key in _LISTS if isinstance(config.get(key), list)}
        lost = []
        for key, value in own.items():
            new = [(one, context.inside(f"file {n}").where) for n, one in enumerate(value, 1)]
            both = (*entries.get(key, ()), *new)
            entries[key] = _combined(entries[key], new, options_of) if key in entries else new
            if len(entries[key]) < len(both):
                lost.append(key)
        if lost:
            found.append(_merge_lost(lost, context.where))
    return Merged(entries, tuple(found))


def _merge_lost(keys: Sequence[str], where: str) -> Finding:
    what = f"Several parts have {', '.join(sorted(keys))}; cloud-init keeps only the value of one part."
    return error("merge-lost", what, f"Add the header Merge-Type: {MERGE} to the later part.", where)


def _merge_options(config: Mapping[Any, Any], header: str) -> Mapping[str, Sequence[str]]:
    """Options of each type, as `_extract_mergers` of cloudinit/handlers/cloud_config.py finds them."""
    declared = config.get("merge_how", config.get("merge_type"))
    if isinstance(declared, list):
        declared = "+".join(
            f"{one.get('name')}({','.join(map(str, one.get('settings', ())))})"
            for one in declared
            if isinstance(one, dict)
        )
    found = re.findall(r"(\w+)\((.*?)\)", f"{declared or ''}+{header}".lower().replace("-", "_"))
    if not found:
        return {"dict": ("replace",), "list": (), "str": ()}
    # The first one of a type counts.
    return {name: tuple(word.strip() for word in words.split(",")) for name, words in reversed(found)}


def _combined(old: list[_Item], new: list[_Item], options_of: Mapping[str, Sequence[str]]) -> list[_Item]:
    """Merge two lists as cloudinit/mergers/m_dict.py and m_list.py do."""
    options, lists = options_of.get("dict"), options_of.get("list", ())
    if options is None:
        return old
    methods = [one for one in ("replace", "no_replace") if one in options]
    if methods[:1] == ["replace"]:
        return new
    if not {"recurse_list", "recurse_array"} & set(options) or "list" not in options_of:
        return old
    if "append" in lists:
        return [*old, *new]
    if "prepend" in lists:
        return [*new, *old]
    return old if "no_replace" in lists else [*new[: len(old)], *old[len(new) :]]


def shellified(commands: Sequence[tuple[Any, str]]) -> str:
    """The script that cloud-init generates from bootcmd or runcmd; "" if it generates none."""
    lines = []
    for command, _ in commands:
        if isinstance(command, list):
            lines.append(" ".join("'" + str(word).replace("'", "'\\''") + "'" for word in command))
        elif isinstance(command, str):
            lines.append(command)
        elif command is not None:
            return ""
    return "".join(f"{line}\n" for line in lines)


def _mapping(text: str) -> Mapping[Any, Any]:
    import yaml

    try:
        config = _constructed(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _syntax(problem: Exception, text: str, where: str) -> Finding:
    number = getattr(getattr(problem, "problem_mark", None), "line", None)
    line = text.splitlines()[number : number + 1] if number is not None else []
    has_tab = "\t" in "".join(line)
    fix = "Indent with blanks, not with tabs." if has_tab else "Correct the indentation or the quotes."
    position = f" in line {number + 1}" if number is not None else ""
    what = f"The YAML is not valid{position}, so cloud-init ignores the cloud-config."
    return error("yaml-syntax", what, fix, where)


def _duplicates(tree: Any, where: str) -> Iterator[Finding]:
    """Duplicate keys of all mappings of a document; the value of several aliases is visited once."""
    left, seen = [tree], {id(tree)}
    while left:
        node = left.pop()
        parts = node.value if isinstance(node.value, list) else []
        if node.id == "mapping":
            yield from _repeated(parts, where)
            parts = [value for _, value in parts]
        new = {id(one): one for one in parts if id(one) not in seen}
        seen |= set(new)
        left += reversed(new.values())


def _repeated(pairs: Sequence[tuple[Any, Any]], where: str) -> Iterator[Finding]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        name = str(key.value)
        if name in seen:
            yield _duplicate(
                name, key.start_mark.line + 1, _serialized(seen[name]) == _serialized(value), where
            )
        seen[name] = value


def _serialized(node: Any) -> str:
    import yaml

    return str(yaml.serialize(node, Dumper=yaml.SafeDumper))


def _duplicate(name: str, line: int, same: bool, where: str) -> Finding:
    made = warning if same else error
    effect = "the values are equal" if same else "cloud-init uses only the last value"
    what = f"Line {line} repeats the key {name[:40]}; {effect}."
    return made("duplicate-key", what, "Merge the values under one key.", where)


def _unknown_keys(config: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    """cloud-init ignores a key that it does not know: an error if its value writes the worker's file."""
    for key, value in config.items():
        if str(key) not in KEYS:
            made = error if conf.path_in(str(value)) else warning
            what = f"cloud-init has no key {str(key)[:40]} and ignores it."
            fix = characters.removal(str(key)) or _suggestion(str(key))
            yield made("unknown-key", what, fix, where)


def _suggestion(key: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key.casefold().replace("-", "_"), KEYS, n=1, cutoff=0.7)
    return f"Did you mean {near[0]}?" if near else "Remove the key."


def _not_lists(config: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    """Keys whose value must be a list: otherwise cloud-init's module fails. packages can be a string."""
    for key in _LISTS:
        if config.get(key) is not None and not isinstance(config[key], list):
            made = warning if key == "packages" and isinstance(config[key], str) else error
            yield made("not-a-list", f"{key} must be a list.", "Begin each entry with a dash.", where)
    for key in ("bootcmd", "runcmd"):
        for command in config[key] if isinstance(config.get(key), list) else ():
            if command is not None and not isinstance(command, str | list):
                what = f"{key} has an entry that is neither a string nor a list; cloud-init runs no entry."
                yield error("not-a-command", what, "Put the entry in quotes.", where)


def _spelled_permissions(tree: Any) -> list[str]:
    """The permissions of each entry of write_files as the document spells them; "" if there are none."""
    import yaml

    found: list[str] = []
    for key, value in tree.value if isinstance(tree, yaml.MappingNode) else ():
        if key.value == "write_files" and isinstance(value, yaml.SequenceNode):
            entries = [one.value if isinstance(one, yaml.MappingNode) else () for one in value.value]
            found = [
                next((str(value.value) for key, value in entry if key.value == "permissions"), "")
                for entry in entries
            ]
    return found


def _write_files(entries: Any, spelled: Sequence[str], context: Context) -> Iterator[Finding]:
    for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        where = context.inside(f"file {number}").where
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(path, str) or not path:
            yield error("bad-write-files", "The entry of write_files has no path.", "Add path: /…", where)
            continue
        if not path.startswith("/"):
            what = f"The path {path[:80]} is relative; cloud-init resolves it from /."
            yield warning("bad-write-files", what, f"Write /{path[:80]}.", where)
        yield from _encoding(entry, where)
        spelling = spelled[number - 1] if spelled else ""
        yield from _permissions(entry.get("permissions"), spelling, path, where)
        if _absolute(path) in conf.paths():
            yield from _deferred(entry, path, where)


def _encoding(entry: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    if not isinstance(entry.get("content", ""), str | bytes | None):
        fix = "Write content: | and indent the text below it."
        yield error("bad-write-files", "The content is not a string.", fix, where)
        return
    declared = str(entry.get("encoding") or "").lower().strip()
    if declared not in (*_PLAIN, *_BASE64, *_GZIP, *_BOTH):
        what = f"cloud-init does not know the encoding {declared[:40]} and writes the content unchanged."
        yield warning("bad-encoding", what, "Use b64, or remove encoding.", where)
    elif _content(entry) is None:
        what = "The content does not have the declared encoding."
        yield error("bad-encoding", what, "Encode it as base64, or remove encoding.", where)


@dataclass(frozen=True)
class Written:
    """The file that an entry of write_files writes."""

    path: str
    text: str
    mode: int
    append: bool


Entry = Any  # an entry of write_files, of any type


def is_deferred(entry: Any) -> bool:
    """Whether cloud-init writes the file at the end of the boot."""
    return isinstance(entry, dict) and _is_true(entry.get("defer"))


def written(entry: Any) -> Written | None:
    """Evaluate an entry of write_files; None if cloud-init writes nothing."""
    path = entry.get("path") if isinstance(entry, dict) else None
    content = _content(entry) if isinstance(path, str) and path else None
    if content is None:
        return None
    fetched = isinstance(entry.get("source"), dict) and entry["source"].get("uri")
    return Written(
        path=_absolute(str(path)),
        text=unknown.FETCHED if fetched else content,
        mode=_decoded(entry.get("permissions")),
        append=_is_true(entry.get("append")),
    )


def _absolute(path: str) -> str:
    """Resolve a path as cloud-init does, which runs in /."""
    return posixpath.normpath(posixpath.join("/", path))


def _is_true(value: Any) -> bool:
    """Evaluate a flag as `is_true` of cloudinit/util.py does."""
    return value is True or str(value).lower().strip() in ("true", "1", "on", "yes")


def _decoded(permissions: Any) -> int:
    """Decode a mode as `decode_perms` of cc_write_files does: a number is the mode, a string is octal."""
    if isinstance(permissions, int | float):
        return int(permissions)
    try:
        return int(str(permissions), 8)
    except ValueError:
        return 0o644


def _content(entry: Mapping[Any, Any]) -> str | None:
    """Decode a content as `extract_contents` of cc_write_files does; None if that fails."""
    content, encoding = entry.get("content") or "", str(entry.get("encoding") or "").lower().strip()
    if not isinstance(content, str | bytes):
        return None
    raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    try:
        if encoding in (*_BASE64, *_BOTH):
            raw = base64.b64decode(b"".join(raw.split()), validate=True)
        if encoding in (*_GZIP, *_BOTH):
            raw = _unpacked(raw)
    except (binascii.Error, OSError, EOFError, zlib.error):
        return None
    return raw.decode("utf-8", "surrogateescape")


def _unpacked(raw: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
        return file.read(_MOST)


def _permissions(permissions: Any, spelled: str, path: str, where: str) -> Iterator[Finding]:
    """Check that the file gets the intended mode, whatever that mode is."""
    fix = "Write permissions: '0600'."
    if isinstance(permissions, int | float):
        octal = f"{int(permissions):04o}"
        if isinstance(permissions, bool | float) or re.match("[1-9]", spelled):
            what = f"YAML does not read the permissions of {path[:80]} as octal: the mode becomes {octal}."
            yield error("octal-mode", what, fix, where)
        else:
            # YAML 1.1 reads 0600 as octal; only the schema requires a string.
            what = f"The permissions of {path[:80]} are not quoted; cloud-init sets {octal} and warns."
            yield warning("octal-mode", what, fix, where)
    elif permissions is not None and not re.fullmatch(r"(0o?)?[0-7]{1,4}", str(permissions)):
        what = f"The permissions of {path[:80]} are not an octal number, so cloud-init uses 0644."
        yield error("bad-mode", what, fix, where)


def _deferred(entry: Mapping[Any, Any], path: str, where: str) -> Iterator[Finding]:
    if entry.get("defer"):
        yield warning(
            "late-conf",
            f"With defer, cloud-init writes {path} at the end of the boot, too late for the worker.",
            "Remove defer.",
            where,
        )


def _schema(text: str, where: str) -> Iterator[Finding]:
    """Run `cloud-init schema`. At boot, cloud-init only logs these findings as a warning."""
    if shutil.which("cloud-init") is None or not unknown.is_known(text):
        return
    with tempfile.TemporaryDirectory(prefix="gen-userdata-") as folder:
        file = Path(folder) / "user-data"
        head = "" if text.lower().lstrip().startswith("#cloud-config") else "#cloud-config\n"
        file.write_text(head + text, "utf-8")
        done = run.call(["cloud-init", "schema", "-c", str(file)], expect=range(256), seconds=60)
    if done.status != 0:
        reports = [line.strip() for line in (done.stdout + done.stderr).splitlines() if ":" in line]
        what = f"cloud-init schema reports: {' '.join(reports)[:300]}."
        yield warning("schema", what, "Correct the value.", where)
