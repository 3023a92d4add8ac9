"""Find packer and its plugin in temporary folders, and choose an engine."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import pytest

from bakery.engines import choice
from bakery.engines.choice import Obstacles
from bakery.engines.packer import program as packer_program
from provisioner.errors import MissingHere

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def install(folder: Path, version: str, *, api: str = "x5.0", digest: str | None = None) -> Path:
    """Create a plugin as `packer plugins install` does; `digest` replaces the correct digest."""
    name = f"packer-plugin-qemu_v{version}_{api}_linux_{MACHINE}"
    path = folder / "github.com" / "hashicorp" / "qemu" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"#!/bin/sh\n" + version.encode())
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{name}_SHA256SUM").write_text(right if digest is None else digest)
    return path


@pytest.mark.parametrize(
    ("variables", "where"),
    [
        ({"PACKER_PLUGIN_PATH": "given"}, "given"),
        ({}, "home/.config/packer/plugins"),
        ({"XDG_CONFIG_HOME": "xdg"}, "xdg/packer/plugins"),
        ({"PACKER_CONFIG_DIR": "chosen"}, "chosen/.packer.d/plugins"),
    ],
)
def test_the_newest_plugin_in_packer_s_folder_is_used(
    variables: dict[str, str], where: str, tmp_path: Path
) -> None:
    install(tmp_path / where, "1.0.9")
    newest = install(tmp_path / where, "1.0.10")
    install(tmp_path / where, "9.0.0", api="x6.0")  # another protocol version
    environment = {"HOME": str(tmp_path / "home")}
    environment |= {name: str(tmp_path / folder) for name, folder in variables.items()}
    assert packer_program.plugin(environment) == newest


def test_the_old_configuration_folder_has_precedence(tmp_path: Path) -> None:
    install(tmp_path / ".config/packer/plugins", "1.1.0")
    old = install(tmp_path / ".packer.d/plugins", "1.0.0")
    assert packer_program.plugin({"HOME": str(tmp_path)}) == old


def test_the_path_of_a_missing_plugin_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MissingHere) as caught:
        packer_program.plugin({"PACKER_PLUGIN_PATH": str(tmp_path)})
    wanted = tmp_path / f"github.com/hashicorp/qemu/packer-plugin-qemu_vX.Y.Z_x5.0_linux_{MACHINE}"
    assert str(wanted) in caught.value.message
    assert "_SHA256SUM" in caught.value.hint


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_a_plugin_that_packer_would_ignore_is_reported(digest: str, tmp_path: Path) -> None:
    path = install(tmp_path, "1.1.4", digest=digest)
    with pytest.raises(MissingHere, match="digest") as caught:
        packer_program.plugin({"PACKER_PLUGIN_PATH": str(tmp_path)})
    assert str(path) in caught.value.message
    path.with_name(f"{path.name}_SHA256SUM").unlink()
    with pytest.raises(MissingHere, match=r"there is no .*_SHA256SUM"):
        packer_program.plugin({"PACKER_PLUGIN_PATH": str(tmp_path)})


@pytest.mark.parametrize(
    ("stream", "version"),
    [
        ("1795340002,,version,1.6.6\n1795340002,,version-prelease,\n", (1, 6, 6)),
        ("1795340002,,version,1.16.0\n1795340002,,ui,say,Packer v1.16.0\n", (1, 16, 0)),
        ("1795340002,,version,1.17.0-dev\n", (1, 17, 0)),
    ],
)
def test_versions(stream: str, version: packer_program.Version) -> None:
    assert packer_program.version_of(stream) == version


def test_another_program_named_packer_is_refused() -> None:
    """cracklib, for example, has one."""
    with pytest.raises(MissingHere, match="not HashiCorp's"):
        packer_program.version_of("0 0\n")


# --- the choice of an engine -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found", "engine", "says"),
    [
        ("auto", Obstacles("", ""), "chroot", "no virtual machine"),
        ("auto", Obstacles("", "none."), "chroot", "no virtual machine"),
        ("auto", Obstacles("only root can.", ""), "packer", "only root can."),
        ("packer", Obstacles("", ""), "packer", ""),
        ("chroot", Obstacles("", ""), "chroot", ""),
    ],
)
def test_the_engine_and_the_reason(wanted: str, found: Obstacles, engine: str, says: str) -> None:
    chosen, why = choice.choose(wanted, found)
    assert chosen == engine
    assert (says in why) if says else why == ""


@pytest.mark.parametrize(
    ("wanted", "found", "says"),
    [
        ("auto", Obstacles("only root can.", "no packer."), ("only root can.", "no packer.")),
        ("packer", Obstacles("", "no packer."), ("no packer.",)),
        ("chroot", Obstacles("only root can.", ""), ("only root can.",)),
    ],
)
def test_no_usable_engine(wanted: str, found: Obstacles, says: tuple[str, ...]) -> None:
    with pytest.raises(MissingHere) as caught:
        choice.choose(wanted, found)
    for text in says:
        assert text in caught.value.message


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("packer", "Use --engine chroot, as root."),
        ("auto", "Run the command as root (a container: with --privileged)."),
    ],
)
def test_packer_makes_no_container_images(wanted: str, hint: str) -> None:
    with pytest.raises(MissingHere, match=r"packer.*: it does not make container images") as caught:
        choice.choose(wanted, Obstacles("only root can.", choice.packer_obstacle(boots=False)))
    assert caught.value.hint == hint
