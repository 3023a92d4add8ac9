"""A file with too many brackets is invalid input everywhere, not a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bakery.commands.command_line import settings
from bakery.definition import reading
from bakery.definition.mistakes.problems import Source
from bakery.fleet import rates
from bakery.image import bases
from bakery.page import preset
from bakery.userdata import pools
from provisioner.errors import BadInput

DEEP = "x = " + "[" * 30000


@pytest.mark.parametrize(
    "read",
    [
        preset.read,
        pools._site_pools,
        bases.read,
        lambda path: rates.parse(DEEP, str(path)),
        lambda path: settings.parse(DEEP, str(path)),
        lambda path: reading._document(Source(path, DEEP)),
    ],
)
def test_too_many_brackets(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(DEEP)
    with pytest.raises(BadInput, match="nested too deeply"):
        read(path)
