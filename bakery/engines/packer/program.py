"""Which packer there is, and whether it has its qemu plugin. Nothing is ever downloaded.

Until 1.9 packer brings all plugins; since 1.10 it takes those that are installed, and since 1.11 only

    DIR/github.com/hashicorp/qemu/packer-plugin-qemu_v1.1.4_x5.0_linux_amd64            and
    DIR/github.com/hashicorp/qemu/packer-plugin-qemu_v1.1.4_x5.0_linux_amd64_SHA256SUM  (its digest in hex)

where DIR is $PACKER_PLUGIN_PATH, else plugins in packer's configuration folder. Source: packer's
documentation, "Plugin Loading - Specification", and its CHANGELOG.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BakeryError, MissingHere
from provisioner.process import run

Version = tuple[int, int, int]
OLDEST: Version = (1, 6, 6)
WITHOUT_PLUGINS: Version = (1, 10, 0)
TOOLS = ("qemu-img", "qemu-system-x86_64", "ssh-keygen", "unshare", "setpriv")  # beside packer itself
_PLUGIN = Path("github.com/hashicorp/qemu")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_GET = "Debian 12 has it (apt install packer), Debian 13 has not: then install HashiCorp's, 1.6.6 or later."


@dataclass(frozen=True)
class Program:
    """`plugin` is the file that packer will load, None where it brings its own."""

    version: Version
    plugin: Path | None


def find(environment: Mapping[str, str] | None = None) -> Program:
    """Raises MissingHere: no packer, one that is too old, or its plugin is not there."""
    environment = os.environ if environment is None else environment
    version = _version()
    if version < OLDEST:
        raise MissingHere(f"packer {_text(version)} is too old; {_text(OLDEST)} is needed.", _GET)
    if version < WITHOUT_PLUGINS:
        return Program(version, None)
    return Program(version, plugin(environment))


def _version() -> Version:
    try:
        run.require("packer")
    except MissingHere as error:
        raise MissingHere(error.message, f"{_GET} Or bake as root, with --engine chroot.") from None
    try:
        said = run.call(["packer", "-machine-readable", "version"], env=settings({}), seconds=60).stdout
    except BakeryError as error:
        raise MissingHere(
            f"This machine's packer does not say its version: {error.message}", _GET
        ) from None
    return version_of(said)


def version_of(stream: str) -> Version:
    """Of what `packer -machine-readable version` prints. Raises MissingHere."""
    from bakery.engines.packer import machine_readable

    for said in map(machine_readable.parse, stream.splitlines()):
        if said and said.kind == "version" and said.data:
            found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said.data[0])
            if found:
                return int(found[1]), int(found[2]), int(found[3])
    raise MissingHere("The program packer of this machine is not HashiCorp's packer.", _GET)


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What a packer of ours is told by its environment; it asks no server for news of itself."""
    return run.environment(CHECKPOINT_DISABLE="1", PACKER_NO_COLOR="1", **environment)


def plugin(environment: Mapping[str, str]) -> Path:
    """The newest installed qemu plugin that packer would load. Raises MissingHere, naming the file."""
    folder = _folder(environment) / _PLUGIN
    machine = _MACHINES.get(platform.machine(), platform.machine())
    found = sorted(folder.glob(f"packer-plugin-qemu_v*_x5.*_linux_{machine}"), key=_plugin_version)
    wanted = folder / f"packer-plugin-qemu_vX.Y.Z_x5.0_linux_{machine}"
    if not found:
        raise MissingHere(
            f"packer has no qemu plugin: there is no {wanted}.",
            "Put it there with its digest in hex beside it, in a file of the same name with _SHA256SUM; "
            "`packer plugins install github.com/hashicorp/qemu` does both, from the network.",
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
    """packer leaves out, without a word, what has no right digest beside it."""
    beside = path.with_name(f"{path.name}_SHA256SUM")
    if not beside.is_file():
        raise MissingHere(f"packer does not load {path}: there is no {beside}.", _digest_hint(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if beside.read_text("ascii", "replace").strip() != digest:
        raise MissingHere(
            f"packer does not load {path}: its digest is not in {beside}.", _digest_hint(path)
        )


def _digest_hint(path: Path) -> str:
    return f"sha256sum {path} prints it; only the digest belongs into the file, if you trust the plugin."


def _text(version: Version) -> str:
    return ".".join(map(str, version))
