"""Programs of another processor, which the kernel starts by an emulator (binfmt_misc).

The emulator, such as QEMU's, must be registered with the flag F, as the image has none.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

from provisioner.errors import CommandFailed, MissingHere
from provisioner.process import run

# e_machine of elf(5), and the code of a program that does nothing but end with 0.
_PROGRAMS = {
    "x86_64": (62, bytes.fromhex("b83c000000 31ff 0f05")),  # mov eax, 60; xor edi, edi; syscall
    "aarch64": (183, bytes.fromhex("000080d2 a80b80d2 010000d4")),  # mov x0, 0; mov x8, 93; svc 0
}
_HEADER, _SEGMENT = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ"  # Elf64_Ehdr, Elf64_Phdr
_ADDRESS, _ALIGNMENT = 0x400000, 0x10000  # of memory; pages of aarch64 have up to 64 KiB


def require(architecture: str) -> None:
    """Raises MissingHere: this machine does not run programs of the architecture. Requires root."""
    if not runs(architecture):
        raise MissingHere(
            f"This machine does not run programs for {architecture}, nor has the kernel an emulator.",
            "Install qemu-user-static (Debian, Ubuntu: it registers itself) and see that "
            f"/proc/sys/fs/binfmt_misc has qemu-{architecture}, or bake on an {architecture} machine. "
            "--dry-run shows the plan on any machine.",
        )


def runs(architecture: str) -> bool:
    """Whether its programs run in a root directory without an emulator. Requires root."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program"
        path.write_bytes(program(architecture))
        path.chmod(0o755)
        try:
            run.call(["chroot", folder, "/program"])
        except CommandFailed:
            return False
    return True


def program(architecture: str) -> bytes:
    """An executable of the architecture that ends with 0."""
    machine, code = _PROGRAMS[architecture]
    before = struct.calcsize(_HEADER) + struct.calcsize(_SEGMENT)
    size = before + len(code)
    kind = (2, machine, 1)  # ET_EXEC, EV_CURRENT
    tables = (struct.calcsize(_HEADER), 0)
    sizes = (struct.calcsize(_HEADER), struct.calcsize(_SEGMENT), 1, 0, 0, 0)
    header = struct.pack(_HEADER, b"\x7fELF\2\1\1", *kind, _ADDRESS + before, *tables, 0, *sizes)
    # PT_LOAD, readable and executable
    segment = struct.pack(_SEGMENT, 1, 5, 0, _ADDRESS, _ADDRESS, size, size, _ALIGNMENT)
    return header + segment + code
