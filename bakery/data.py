"""Where the folders without Python are: beside the packages in a checkout, inside the wheel else."""

from __future__ import annotations

from pathlib import Path

_INSTALLED = Path(__file__).parent / "_data"
ROOT = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parent.parent

BASES = ROOT / "packer" / "bases"
CLOUD_INIT = ROOT / "cloud-init"
WORKER = ROOT / "worker"
IMAGE_TESTS = ROOT / "tests" / "image"
