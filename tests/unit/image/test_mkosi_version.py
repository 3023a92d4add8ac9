"""A mkosi that is too old is reported before it fails with a message of its own."""

from __future__ import annotations

import pytest

from bakery.image import mkosi
from provisioner.errors import MissingHere


@pytest.mark.parametrize("output", ["mkosi 24.3\n", "mkosi 25.3", "mkosi 27~devel\n", "mkosi 26\n"])
def test_recent_versions(output: str) -> None:
    assert 24 <= mkosi.check_version(output) <= 27


@pytest.mark.parametrize("output", ["mkosi 14\n", "mkosi 20.2\n", "mkosi 9", "", "another program"])
def test_old_versions(output: str) -> None:
    with pytest.raises(MissingHere, match="mkosi 24 or later is required") as caught:
        mkosi.check_version(output)
    assert "--base debian13-cloud" in caught.value.hint
