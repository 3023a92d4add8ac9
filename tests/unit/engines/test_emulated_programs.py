"""Programs of another processor: the one that is tried, and what is said if it does not run."""

from __future__ import annotations

import struct

import pytest

from bakery.engines import emulation
from bakery.image import bases
from provisioner.errors import MissingHere


@pytest.mark.parametrize(("architecture", "machine"), [("x86_64", 62), ("aarch64", 183)])
def test_the_program_is_an_executable_of_its_architecture(architecture: str, machine: int) -> None:
    made = emulation.program(architecture)
    assert made[:7] == b"\x7fELF\x02\x01\x01"
    assert struct.unpack_from("<HH", made, 16) == (2, machine)
    entry, table = struct.unpack_from("<QQ", made, 24)
    address, in_file, in_memory = struct.unpack_from("<Q8xQQ", made, table + 16)
    assert in_file == in_memory == len(made)
    assert address < entry < address + len(made)


def test_there_is_a_program_of_each_architecture() -> None:
    assert all(map(emulation.program, bases.ARCHITECTURES))


def test_without_an_emulator_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulation, "runs", lambda _: False)
    with pytest.raises(MissingHere, match="does not run programs for aarch64") as raised:
        emulation.require("aarch64")
    assert raised.value.hint.startswith("Install qemu-user-static")
    monkeypatch.setattr(emulation, "runs", lambda _: True)
    emulation.require("aarch64")
