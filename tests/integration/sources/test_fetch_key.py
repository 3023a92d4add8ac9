"""A key that a plan downloads must have the pinned fingerprint; with real curl and gpg."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bakery.runtime import data
from provisioner.actions import Run
from provisioner.errors import WrongChecksum
from provisioner.process import run
from provisioner.steps import FetchKey
from tests.integration.repository import served

PINNED = tomllib.loads(data.REPOSITORIES.read_text())["fingerprints"]


def fetch(name: str, fingerprint: str, into: Path) -> None:
    with served(data.KEYS / "packages") as url:
        [action] = FetchKey(f"{url}/{name}.asc", str(into), fingerprint).actions()
        assert isinstance(action, Run)
        run.call(action.argv)


def test_pinned_key_is_accepted(tmp_path: Path) -> None:
    fetch("epel-9", PINNED["epel-9"], tmp_path / "a folder/key")
    assert (tmp_path / "a folder/key").read_bytes() == (data.KEYS / "packages" / "epel-9.asc").read_bytes()


def test_other_key_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(WrongChecksum) as caught:
        fetch("epel-8", PINNED["epel-9"], tmp_path / "key")
    assert PINNED["epel-8"] in caught.value.message
    assert PINNED["epel-9"] in caught.value.message
    assert not (tmp_path / "key").exists()
