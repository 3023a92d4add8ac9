"""Find packer and its qemu plugin on this machine. Nothing is downloaded.

Up to 1.9 packer includes all plugins. Since 1.10 it uses installed plugins, and since 1.11 only

    DIR/github.com/hashicorp/qemu/packer-plugin-qemu_v1.1.4_x5.0_linux_amd64            and
    DIR/github.com/hashicorp/qemu/packer-plugin-qemu_v1.1.4_x5.0_linux_amd64_SHA256SUM  (its digest in hex)

where DIR is $PACKER_PLUGIN_PATH, else the folder `plugins` in packer's configuration folder. Source:
packer's documentation, "Plugin Loading - Specification", and its CHANGELOG.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeryError, Interrupted, MissingHere
from provisioner.process import run

Version = tuple[int, int, int]
OLDEST: Version = (1, 6, 6)
WITHOUT_PLUGINS: Version = (1, 10, 0)
TOOLS = ("qemu-img", "qemu-system-x86_64", "ssh-keygen", "unshare", "setpriv")  # in addition to packer
_PLUGIN = Path("github.com/hashicorp/qemu")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_GET = "On Debian 12: apt install packer. On Debian 13, install HashiCorp's packer 1.6.6 or later."


@dataclass(frozen=True)
class Program:
    """An installed packer. `plugin` is the file that it will load, None if the plugin is built in."""

    version: Version
    plugin: Path | None


def find(environment: Mapping[str, str] | None = None) -> Program:
    """Find packer. Raises MissingHere: it is not installed, too old, or has no qemu plugin."""
    environment = os.environ if environment is None else environment
    version = _version()
    if version < OLDEST:
        raise MissingHere(
            f"packer {_text(version)} is too old; {_text(OLDEST)} or later is required.", _GET
        )
    if version < WITHOUT_PLUGINS:
        return Program(version, None)
    return Program(version, plugin(environment))


def _version() -> Version:
    try:
        run.require("packer")
    except MissingHere as error:
        raise MissingHere(error.message, f"{_GET} Or run as root with --engine chroot.") from None
    try:
        output = run.call(["packer", "-machine-readable", "version"], env=settings({}), seconds=60).stdout
    except Interrupted:
        raise
    except BakeryError as error:
        raise MissingHere(f"Cannot determine the version of packer: {error.message}", _GET) from None
    return version_of(output)


def version_of(stream: str) -> Version:
    """The version in the output of `packer -machine-readable version`. Raises MissingHere."""
    from bakery.engines.packer import machine_readable

    for message in map(machine_readable.parse, stream.splitlines()):
        if message and message.kind == "version" and message.data:
            found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", message.data[0])
            if found:
                return int(found[1]), int(found[2]), int(found[3])
    raise MissingHere("The program `packer` on this machine is not HashiCorp's packer.", _GET)


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for packer: without colors, and without checks for new versions of packer."""
    return run.environment(CHECKPOINT_DISABLE="1", PACKER_NO_COLOR="1", **environment)


def plugin(environment: Mapping[str, str]) -> Path:
    """The newest installed qemu plugin that packer would load.

    Raises MissingHere, with the expected path: there is no plugin, or packer would ignore it.
    """
    folder = _folder(environment) / _PLUGIN
    machine = _MACHINES.get(platform.machine(), platform.machine())
    found = sorted(folder.glob(f"packer-plugin-qemu_v*_x5.*_linux_{machine}"), key=_plugin_version)
    wanted = folder / f"packer-plugin-qemu_vX.Y.Z_x5.0_linux_{machine}"
    if not found:
        raise MissingHere(
            f"The qemu plugin of packer is not installed: there is no {wanted}.",
            "Run `packer plugins install github.com/hashicorp/qemu`, or copy the plugin to this path "
            "with its hexadecimal SHA-256 digest in a file of the same name plus _SHA256SUM.",
        )
    _check(found[-1])
    return found[-1]


def _folder(environment: Mapping[str, str]) -> Path:
    given = environment.get("PACKER_PLUGIN_PATH", "")
    if given:
        return Path(given)
    chosen = environment.get("PACKER_CONFIG_DIR", "")
    home = Path(chosen or environment.get("HOME") or Path.home())
    if chosen or (home / ".packer.d").is_dir():
        return home / ".packer.d" / "plugins"
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "packer" / "plugins"


def _plugin_version(path: Path) -> Version:
    found = re.search(r"_v(\d+)\.(\d+)\.(\d+)", path.name)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)


def _check(path: Path) -> None:
    """Raises MissingHere if the digest file is missing or wrong: packer silently ignores such a plugin."""
    beside = path.with_name(f"{path.name}_SHA256SUM")
    if not beside.is_file():
        raise MissingHere(f"packer ignores {path}: there is no {beside}.", _digest_hint(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if beside.read_text("ascii", "replace").strip() != digest:
        raise MissingHere(
            f"packer ignores {path}: its digest differs from the one in {beside}.", _digest_hint(path)
        )


def _digest_hint(path: Path) -> str:
    return f"If you trust the plugin, write its digest (and nothing else) to the file: sha256sum {path}."


def _text(version: Version) -> str:
    return ".".join(map(str, version))
