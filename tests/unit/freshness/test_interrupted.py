"""A signal ends the work; it is no repository that cannot be read."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from bakery.freshness import ask, record
from bakery.freshness.ask import Heads
from bakery.freshness.lock import Lock
from bakery.freshness.metadata.addresses import Addresses
from bakery.store.store import Store
from provisioner.errors import Interrupted, Unreachable
from provisioner.events import Silent


def read(monkeypatch: pytest.MonkeyPatch, store: Store, error: Exception) -> record.Metadata:
    def offers(*_: Any) -> None:
        raise error

    monkeypatch.setattr(ask, "heads", lambda *_: Heads())
    monkeypatch.setattr(ask, "offers", offers)
    return record.read(Lock("apt", "amd64", (), (), {}), store, Addresses("", {}), Silent())


def test_a_signal_while_the_packages_are_recorded_ends_the_bake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    with pytest.raises(Interrupted):
        read(monkeypatch, Store(tmp_path), Interrupted(signal.SIGINT))
    assert read(monkeypatch, Store(tmp_path), Unreachable("It does not answer.")).offers is None
