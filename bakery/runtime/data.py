"""Paths of the folders without Python code: in a checkout at its top, in a wheel under bakery/_data."""

from __future__ import annotations

from pathlib import Path

_INSTALLED = Path(__file__).parent.parent / "_data"
ROOT = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parent.parent.parent

PACKER = ROOT / "packer"
BASES = PACKER / "bases"
REPOSITORIES = PACKER / "repositories.toml"
KEYS = PACKER / "keys"
CLOUD_INIT = ROOT / "cloud-init"
WORKER = ROOT / "worker"
PAGE = ROOT / "page"
LICENSE_FILE = ROOT / "LICENSE"
IMAGE_TESTS = ROOT / "tests" / "image"
