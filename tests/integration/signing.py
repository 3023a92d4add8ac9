"""Keys of the program minisign, and an image to be signed with them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from bakery.description import files
from tests.unit.description.sample import manifest
from tests.unit.description.test_statements import PROOF


class Keys(NamedTuple):
    secret: Path
    public: Path


def generated(folder: Path, name: str, passphrase: str = "") -> Keys:
    """A pair of keys that the program minisign has made."""
    keys = Keys(folder / f"{name}.key", folder / f"{name}.pub")
    argv = ["minisign", "-G", "-s", str(keys.secret), "-p", str(keys.public)]
    subprocess.run(
        argv if passphrase else [*argv, "-W"],
        input=f"{passphrase}\n{passphrase}\n",
        text=True,
        capture_output=True,
        check=True,
    )
    return keys


def described(folder: Path) -> Path:
    """An image with the description that `bake -o` writes beside it. Its content does not matter here."""
    made = folder / "worker.qcow2"
    folder.mkdir()
    made.write_bytes(b"content" * 1000)
    files.write(made, {**manifest(), "proof": PROOF, "sha256": files.check(made, {}), "size": 7000})
    return made
