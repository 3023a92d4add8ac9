"""Programs and firmware are found where each distribution installs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.runtime import host_paths


def install(root: Path, *paths: str) -> None:
    for path in paths:
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o755)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_qemu_of_debian_ubuntu_and_fedora_is_on_path(tmp_path: Path, on_path: Path) -> None:
    install(on_path, "qemu-system-x86_64")
    install(tmp_path, "/usr/libexec/qemu-kvm")
    assert host_paths.program("qemu-system-x86_64", tmp_path) == "qemu-system-x86_64"


def test_qemu_of_enterprise_linux_is_in_libexec(tmp_path: Path, on_path: Path) -> None:
    install(tmp_path, "/usr/libexec/qemu-kvm")
    assert host_paths.program("qemu-system-x86_64", tmp_path) == "/usr/libexec/qemu-kvm"


def test_a_file_that_is_not_executable_is_no_program(tmp_path: Path, on_path: Path) -> None:
    install(tmp_path, "/usr/libexec/qemu-kvm")
    (tmp_path / "usr/libexec/qemu-kvm").chmod(0o644)
    assert host_paths.program("qemu-system-x86_64", tmp_path) == "qemu-system-x86_64"


def test_grub_of_enterprise_linux_and_fedora_has_another_name(tmp_path: Path, on_path: Path) -> None:
    install(on_path, "grub2-mkimage", "qemu-img")
    names = ("qemu-img", "grub-mkimage", "missing")
    assert host_paths.programs(names) == ("qemu-img", "grub2-mkimage", "missing")


def test_a_missing_program_keeps_the_name_that_users_know(tmp_path: Path, on_path: Path) -> None:
    assert host_paths.program("qemu-system-x86_64", tmp_path) == "qemu-system-x86_64"
    assert host_paths.program("grub-mkimage", tmp_path) == "grub-mkimage"


DEBIAN = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd")
OLD_DEBIAN = ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd")
RED_HAT = ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd")


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (DEBIAN, DEBIAN),
        (OLD_DEBIAN, OLD_DEBIAN),
        ((*OLD_DEBIAN, *DEBIAN), DEBIAN),
        (RED_HAT, RED_HAT),
        # Compatibility links of Fedora: the same firmware.
        ((*OLD_DEBIAN, *RED_HAT), RED_HAT),
        # Code without variables cannot be used.
        ((DEBIAN[0], *RED_HAT), RED_HAT),
    ],
)
def test_firmware(tmp_path: Path, installed: tuple[str, ...], expected: tuple[str, str]) -> None:
    install(tmp_path, *installed)
    found = host_paths.firmware(tmp_path)
    assert found is not None
    assert (f"/{found.code.relative_to(tmp_path)}", f"/{found.variables.relative_to(tmp_path)}") == expected


def test_without_firmware_there_is_none(tmp_path: Path) -> None:
    install(tmp_path, DEBIAN[0])
    assert host_paths.firmware(tmp_path) is None
