"""A test that all images of several.toml pass."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.offline
def test_tmux_is_there(host: Any) -> None:
    assert host.file("/usr/bin/tmux").exists
