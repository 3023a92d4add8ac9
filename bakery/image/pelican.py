"""`--pelican FILE`: Pelican's client for the role ospool, whose content is part of the plan."""

from __future__ import annotations

from pathlib import Path

from provisioner.errors import BadInput
from provisioner.roles import Family, Pelican

_HINT = (
    "Give what Pelican's releases have: the program itself, its pelican_Linux_ARCH.tar.gz"
    " or pelican_VERSION_ARCH.deb."
)


def read(path: Path, family: Family) -> Pelican:
    """By its first bytes; a program is an ELF file or a script. Raises BadInput."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"--pelican {path} cannot be read: {error.strerror}.", _HINT) from None
    if data.startswith((b"\x7fELF", b"#!")):
        return Pelican("program", data)
    if data.startswith(b"\x1f\x8b"):
        return Pelican("archive", data)
    if data.startswith(b"!<arch>\n"):
        if family not in ("debian", "ubuntu"):
            raise BadInput(f"--pelican {path} is a Debian package, and the base is none.", _HINT)
        return Pelican("package", data)
    raise BadInput(f"--pelican {path} is neither a program nor a .tar.gz nor a .deb.", _HINT)
