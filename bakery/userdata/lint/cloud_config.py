"""A cloud-config: our own checks always, and cloud-init's where it is installed."""

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

from bakery.userdata.delivery.multipart import MERGE
from bakery.userdata.findings import Finding, error, warning
from bakery.userdata.lint import aliases, conf, unknown
from bakery.userdata.lint.context import Context
from provisioner.process import run

# The top-level keys of cloud-init 25.1's schema, and those that its templates and merging add.
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
        yield error(
            "not-a-mapping", "It is no mapping of keys to values.", "Write key: value lines.", context.where
        )
        return
    yield from _duplicates(tree, context.where)
    yield from _keys(config, context.where)
    yield from _lists(config, context.where)
    yield from _files(config.get("write_files"), _spelled(tree), context)
    yield from _schema(text, context.where)


# Both are asked for twice, and take most of the time.
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
    """The lists of all cloud-configs as cloud-init puts them together, each entry with where it is from."""

    entries: Mapping[str, Sequence[tuple[Any, str]]]
    findings: Sequence[Finding]


def merged(configs: Sequence[tuple[str, str, Context]]) -> Merged:
    """Of texts, what their parts say in Merge-Type, and where they stand; in their order."""
    entries: dict[str, list[tuple[Any, str]]] = {}
    found = []
    for text, header, context in configs:
        config = _mapping(text)
        how = _mergers(config, header)
        own = {key: config[key] for key in _LISTS if isinstance(config.get(key), list)}
        lost = []
        for key, value in own.items():
            new = [(one, context.inside(f"file {n}").where) for n, one in enumerate(value, 1)]
            both = (*entries.get(key, ()), *new)
            entries[key] = _together(entries[key], new, how) if key in entries else new
            if len(entries[key]) < len(both):
                lost.append(key)
        if lost:
            found.append(_lost(lost, context.where))
    return Merged(entries, tuple(found))


def _lost(keys: Sequence[str], where: str) -> Finding:
    return error(
        "merge-lost",
        f"Several parts have {', '.join(sorted(keys))}; cloud-init keeps only one of them.",
        f"Give the later part Merge-Type: {MERGE}.",
        where,
    )


def _mergers(config: Mapping[Any, Any], header: str) -> Mapping[str, Sequence[str]]:
    """Of each type the options, as `_extract_mergers` of cloudinit/handlers/cloud_config.py finds them."""
    said = config.get("merge_how", config.get("merge_type"))
    if isinstance(said, list):
        said = "+".join(
            f"{one.get('name')}({','.join(map(str, one.get('settings', ())))})"
            for one in said
            if isinstance(one, dict)
        )
    found = re.findall(r"(\w+)\((.*?)\)", f"{said or ''}+{header}".lower().replace("-", "_"))
    if not found:
        return {"dict": ("replace",), "list": (), "str": ()}
    # The first of a type is asked.
    return {name: tuple(word.strip() for word in words.split(",")) for name, words in reversed(found)}


def _together(old: list[_Item], new: list[_Item], how: Mapping[str, Sequence[str]]) -> list[_Item]:
    """As cloudinit/mergers/m_dict.py and m_list.py do."""
    options, lists = how.get("dict"), how.get("list", ())
    if options is None:
        return old
    methods = [one for one in ("replace", "no_replace") if one in options]
    if methods[:1] == ["replace"]:
        return new
    if not {"recurse_list", "recurse_array"} & set(options) or "list" not in how:
        return old
    if "append" in lists:
        return [*old, *new]
    if "prepend" in lists:
        return [*new, *old]
    return old if "no_replace" in lists else [*new[: len(old)], *old[len(new) :]]


def shellified(commands: Sequence[tuple[Any, str]]) -> str:
    """The script that cloud-init makes of bootcmd or runcmd; "" if it makes none."""
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
    fix = (
        "Indent by blanks, not tabs."
        if "\t" in "".join(line)
        else "Correct the indentation or the quotes there."
    )
    place = f"line {number + 1}" if number is not None else "it"
    return error("yaml-syntax", f"YAML does not understand {place}.", fix, where)


def _duplicates(tree: Any, where: str) -> Iterator[Finding]:
    """Of all mappings in it; what several aliases name is looked at once."""
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
            yield _again(
                name, key.start_mark.line + 1, _serialized(seen[name]) == _serialized(value), where
            )
        seen[name] = value


def _serialized(node: Any) -> str:
    import yaml

    return str(yaml.serialize(node, Dumper=yaml.SafeDumper))


def _again(name: str, line: int, same: bool, where: str) -> Finding:
    made = warning if same else error
    lost = "it says the same" if same else "all but the last one are lost"
    return made("duplicate-key", f"Line {line} has {name[:40]} again; {lost}.", "Put them together.", where)


def _keys(config: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    """One that cloud-init does not know is ignored: an error if the worker's file was to come of it."""
    for key, value in config.items():
        if str(key) not in KEYS:
            made = error if conf.path_in(str(value)) else warning
            yield made("unknown-key", f"cloud-init has no key {str(key)[:40]}.", _nearest(str(key)), where)


def _nearest(key: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key.casefold().replace("-", "_"), KEYS, n=1, cutoff=0.7)
    return f"Did you mean {near[0]}?" if near else "Remove it."


def _lists(config: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    """All of these fail if they are no lists, but packages, of which a text is taken for one."""
    for key in _LISTS:
        if config.get(key) is not None and not isinstance(config[key], list):
            made = warning if key == "packages" and isinstance(config[key], str) else error
            yield made(
                "not-a-list", f"{key} must be a list.", "Begin each of its lines with a dash.", where
            )
    for key in ("bootcmd", "runcmd"):
        for command in config[key] if isinstance(config.get(key), list) else ():
            if command is not None and not isinstance(command, str | list):
                yield error(
                    "not-a-command",
                    f"{key} has an entry that is neither a text nor a list, so none of them is run.",
                    "Put it in quotes.",
                    where,
                )


def _spelled(tree: Any) -> list[str]:
    """How the permissions of each of the write_files are written; "" where that is not to be found."""
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


def _files(entries: Any, spelled: Sequence[str], context: Context) -> Iterator[Finding]:
    for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        where = context.inside(f"file {number}").where
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(path, str) or not path:
            yield error("bad-write-files", "There is no path.", "Give path: /…", where)
            continue
        if not path.startswith("/"):
            yield warning(
                "bad-write-files", f"{path[:80]} is meant from / on.", f"Write /{path[:80]}.", where
            )
        yield from _encoding(entry, where)
        yield from _mode(entry.get("permissions"), spelled[number - 1] if spelled else "", path, where)
        if _absolute(path) in conf.paths():
            yield from _late(entry, path, where)


def _encoding(entry: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    if not isinstance(entry.get("content", ""), str | bytes | None):
        yield error("bad-write-files", "The content is no text.", "Write content: | and indent it.", where)
        return
    said = str(entry.get("encoding") or "").lower().strip()
    if said not in (*_PLAIN, *_BASE64, *_GZIP, *_BOTH):
        what = f"cloud-init knows no encoding {said[:40]} and takes the content as it stands."
        yield warning("bad-encoding", what, "Use b64, or leave it away.", where)
    elif _content(entry) is None:
        yield error("bad-encoding", "The content is not encoded as it says.", "Use b64 or none.", where)


@dataclass(frozen=True)
class Written:
    """What an entry of write_files writes."""

    path: str
    text: str
    mode: int
    append: bool


Entry = Any  # of write_files, whatever it is


def is_deferred(entry: Any) -> bool:
    return isinstance(entry, dict) and _is_true(entry.get("defer"))


def written(entry: Any) -> Written | None:
    """None if it writes nothing."""
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
    """cloud-init runs in /."""
    return posixpath.normpath(posixpath.join("/", path))


def _is_true(value: Any) -> bool:
    """As `is_true` of cloudinit/util.py does."""
    return value is True or str(value).lower().strip() in ("true", "1", "on", "yes")


def _decoded(permissions: Any) -> int:
    """As `decode_perms` of cc_write_files does: a number is taken as it is, a text is octal."""
    if isinstance(permissions, int | float):
        return int(permissions)
    try:
        return int(str(permissions), 8)
    except ValueError:
        return 0o644


def _content(entry: Mapping[Any, Any]) -> str | None:
    """As `extract_contents` of cc_write_files does; None if it cannot be decoded."""
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


def _mode(permissions: Any, spelled: str, path: str, where: str) -> Iterator[Finding]:
    """Whether the file gets the mode that is meant; whether that is a good one is another question."""
    fix = "Write permissions: '0600'."
    if isinstance(permissions, int | float):
        octal = f"{int(permissions):04o}"
        if isinstance(permissions, bool | float) or re.match("[1-9]", spelled):
            what = f"YAML makes another number of the permissions of {path[:80]}: the mode becomes {octal}."
            yield error("octal-mode", what, fix, where)
        else:
            # YAML 1.1 reads 0600 as octal: it is only that the schema wants a text.
            what = f"The permissions of {path[:80]} have no quotes; cloud-init sets {octal} and warns."
            yield warning("octal-mode", what, fix, where)
    elif permissions is not None and not re.fullmatch(r"(0o?)?[0-7]{1,4}", str(permissions)):
        what = f"The permissions of {path[:80]} are no octal number, so cloud-init takes 0644."
        yield error("bad-mode", what, fix, where)


def _late(entry: Mapping[Any, Any], path: str, where: str) -> Iterator[Finding]:
    if entry.get("defer"):
        yield warning(
            "late-conf",
            f"defer writes {path} at the very end, long after the worker looked for it.",
            "Leave defer away.",
            where,
        )


def _schema(text: str, where: str) -> Iterator[Finding]:
    """What `cloud-init schema` says. At boot cloud-init logs the same, and goes on."""
    if shutil.which("cloud-init") is None or not unknown.is_known(text):
        return
    with tempfile.TemporaryDirectory(prefix="gen-userdata-") as folder:
        file = Path(folder) / "user-data"
        head = "" if text.lower().lstrip().startswith("#cloud-config") else "#cloud-config\n"
        file.write_text(head + text, "utf-8")
        done = run.call(["cloud-init", "schema", "-c", str(file)], expect=range(256), seconds=60)
    if done.status != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if ":" in line]
        yield warning("schema", f"cloud-init says: {' '.join(said)[:300]}.", "Correct it.", where)
