"""A cloud-config: our own checks always, and cloud-init's where it is installed."""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bakery.launch.findings import Finding, error, warning
from bakery.launch.lint import conf
from bakery.launch.lint.context import TOKEN, Context
from bakery.launch.multipart import Part
from provisioner import run

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


def check(text: str, context: Context) -> Iterator[Finding]:
    import yaml

    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        config = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        yield _syntax(problem, text, context.where)
        return
    if tree is None:
        return
    if not isinstance(config, dict):
        yield error(
            "not-a-mapping", "It is no mapping of keys to values.", "Write key: value lines.", context.where
        )
        return
    yield from _duplicates(tree, context.where)
    yield from _keys(config, context.where)
    yield from _lists(config, context.where)
    yield from _commands(config, context.where)
    yield from _files(config.get("write_files"), context)
    yield from _schema(text, context.where)


def merged(parts: Sequence[Part]) -> Iterator[Finding]:
    """Lists that several parts have and that cloud-init would not put together."""
    seen: set[str] = set()
    for part in parts:
        config = _mapping(part.data)
        lists = {str(key) for key, value in config.items() if isinstance(value, list)}
        says = part.merge or "merge_how" in config or "merge_type" in config
        if lists & seen and not says:
            yield warning(
                "merge-lost",
                f"Several parts have {', '.join(sorted(lists & seen))}; cloud-init keeps only one of them.",
                "Give the later part Merge-Type: list(append)+dict(no_replace,recurse_list)+str().",
            )
        seen |= lists


def _mapping(data: bytes) -> Mapping[Any, Any]:
    import yaml

    try:
        config = yaml.safe_load(data.decode())
    except (yaml.YAMLError, ValueError):
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


def _duplicates(node: Any, where: str) -> Iterator[Finding]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                line = key.start_mark.line + 1
                yield error(
                    "duplicate-key",
                    f"Line {line} has {name[:40]} again; all but the last one are lost.",
                    "Put them together.",
                    where,
                )
            seen.add(name)
            yield from _duplicates(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _duplicates(value, where)


def _keys(config: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    for key in config:
        if str(key) not in KEYS:
            yield warning(
                "unknown-key", f"cloud-init has no key {str(key)[:40]}.", _nearest(str(key)), where
            )


def _nearest(key: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key.casefold().replace("-", "_"), KEYS, n=1, cutoff=0.7)
    return f"Did you mean {near[0]}?" if near else "Remove it."


def _lists(config: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    for key in _LISTS:
        if config.get(key) is not None and not isinstance(config[key], list):
            yield error(
                "not-a-list", f"{key} must be a list.", "Begin each of its lines with a dash.", where
            )


def _commands(config: Mapping[Any, Any], where: str) -> Iterator[Finding]:
    if TOKEN.search(f"{config.get('runcmd')} {config.get('bootcmd')}"):
        yield warning(
            "token-on-command-line",
            "A token stands in a command, which others on the machine can see.",
            "Write it by write_files.",
            where,
        )


def _files(entries: Any, context: Context) -> Iterator[Finding]:
    for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        where = context.inside(f"file {number}").where
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(path, str) or not path.startswith("/"):
            yield error("bad-write-files", "There is no absolute path.", "Give path: /…", where)
            continue
        content = _content(entry)
        if content is None:
            yield error("bad-encoding", "The content is not encoded as it says.", "Use b64 or none.", where)
        yield from _mode(entry.get("permissions"), path, content or "", where)
        if path in conf.paths():
            yield from _late(entry, path, where)
            if content is not None:
                yield from conf.check(content, context, conf.paths()[path])


def _content(entry: Mapping[Any, Any]) -> str | None:
    """None if it cannot be decoded."""
    content, encoding = entry.get("content", ""), str(entry.get("encoding") or "").lower().strip()
    raw = content if isinstance(content, bytes) else str(content).encode()
    try:
        if encoding in (*_BASE64, *_BOTH):
            raw = base64.b64decode(b"".join(raw.split()), validate=True)
        if encoding in (*_GZIP, *_BOTH):
            raw = gzip.decompress(raw)
    except (binascii.Error, OSError, EOFError, zlib.error):
        return None
    known = encoding in (*_PLAIN, *_BASE64, *_GZIP, *_BOTH)
    return raw.decode("utf-8", "replace") if known else None


def _mode(permissions: Any, path: str, content: str, where: str) -> Iterator[Finding]:
    if isinstance(permissions, int | float):
        yield error(
            "octal-mode",
            f"The permissions of {path[:80]} have no quotes, so YAML makes another number of them.",
            "Write permissions: '0600'.",
            where,
        )
        return
    text = "0644" if permissions is None else str(permissions)
    if not re.fullmatch(r"(0o?)?[0-7]{3,4}", text):
        yield error(
            "bad-mode", f"The permissions of {path[:80]} are no octal number.", "Write '0600'.", where
        )
    elif int(text.replace("o", ""), 8) & 0o077 and (path in conf.paths() or TOKEN.search(content)):
        yield error(
            "world-readable",
            f"{path[:80]} holds a token and would be readable by others (mode {text}).",
            "Write permissions: '0600'.",
            where,
        )


def _late(entry: Mapping[Any, Any], path: str, where: str) -> Iterator[Finding]:
    if entry.get("defer"):
        yield warning(
            "late-conf",
            f"defer writes {path} at the very end, long after the worker looked for it.",
            "Leave defer away.",
            where,
        )


def _schema(text: str, where: str) -> Iterator[Finding]:
    """What `cloud-init schema` says."""
    if shutil.which("cloud-init") is None:
        return
    with tempfile.TemporaryDirectory(prefix="gen-userdata-") as folder:
        file = Path(folder) / "user-data"
        head = "" if text.startswith("#cloud-config") else "#cloud-config\n"
        file.write_text(head + text, "utf-8")
        done = run.call(["cloud-init", "schema", "-c", str(file)], expect=range(256), seconds=60)
    if done.status != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if ":" in line]
        yield error("schema", f"cloud-init says: {' '.join(said)[:300]}.", "Correct it.", where)
