"""`--pelican FILE`: Pelican's client for the role ospool; its content is part of the plan."""

from __future__ import annotations

from pathlib import Path

from provisioner import named_file
from provisioner.errors import BadInput
from provisioner.roles import Family, Pelican

_HINT = (
    "Use a file of Pelican's releases: the program, pelican_Linux_ARCH.tar.gz or pelican_VERSION_ARCH.deb."
)


def read(path: Path, family: Family) -> Pelican:
    """Read the file and recognize its format by its first bytes; a program is ELF or a script.

    Raises BadInput.
    """
    try:
        data = named_file.content(path, named_file.DATA_LIMIT)
    except OSError as error:
        raise BadInput(f"--pelican: cannot read {path}: {error.strerror}.", _HINT) from None
    if data.startswith((b"\x7fELF", b"#!")):
        return Pelican("program", data)
    if data.startswith(b"\x1f\x8b"):
        return Pelican("archive", data)
    if data.startswith(b"!<arch>\n"):
        if family not in ("debian", "ubuntu"):
            raise BadInput(f"--pelican {path} is a Debian package, which the base does not support.", _HINT)
        return Pelican("package", data)
    raise BadInput(f"--pelican {path} is neither a program nor a .tar.gz nor a .deb.", _HINT)
