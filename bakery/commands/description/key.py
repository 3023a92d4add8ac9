"""The options that name a secret key of minisign, and the key."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line.parser import completed

if TYPE_CHECKING:
    from minisign import SecretKey

_LIMIT = 4096  # bytes of a passphrase


def add_options(
    group: argparse._ActionsContainer, option: str, text: str, *, required: bool = False
) -> None:
    """Add `option` FILE, whose value is `key` and whose help is `text`, and --passphrase-file."""
    key = group.add_argument(option, dest="key", type=Path, required=required, metavar="FILE", help=text)
    completed(key, "file")
    passphrase = group.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="file with the passphrase of the key on its first line (default: ask for it)",
    )
    completed(passphrase, "file")


def optional(options: argparse.Namespace) -> SecretKey | None:
    """The key, decrypted, if one is given. Raises BadInput."""
    return read(options.key, options.passphrase_file) if options.key else None


def read(key: Path, passphrase_file: Path | None) -> SecretKey:
    """The key, decrypted. Raises BadInput."""
    from bakery.description import minisign_keys

    return minisign_keys.secret_key(key, lambda: _passphrase(key, passphrase_file))


def _passphrase(key: Path, file: Path | None) -> str:
    from bakery.runtime.files import is_world_readable, read_limited
    from provisioner.errors import BadInput

    if file is None:
        return _asked(key)
    if is_world_readable(file):
        raise BadInput(f"{file} is readable by all users.", f"Use chmod 600 {file}.")
    try:
        return read_limited(file, _LIMIT).decode("utf-8").split("\n")[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8.") from None


def _asked(key: Path) -> str:
    import getpass

    from provisioner.errors import BadInput

    if not sys.stdin.isatty():
        raise BadInput(f"The key {key} has a passphrase.", "Use --passphrase-file FILE.")
    return getpass.getpass(f"Passphrase of {key} (it is not shown): ")
