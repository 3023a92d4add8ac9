"""What is said of an image for another processor than this machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.bake import build
from bakery.bake.options import Options
from bakery.bake.planned import plan_bake
from bakery.engines import emulation
from bakery.image import bases
from bakery.store.store import Store
from provisioner.errors import MissingHere
from provisioner.events import Event


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """On an x86_64 machine that has an emulator."""
    monkeypatch.setattr(bases, "host", lambda: "x86_64")
    monkeypatch.setattr(build, "require_root", lambda: None)
    monkeypatch.setattr(emulation, "runs", lambda _: True)
    return Recorder()


def check(options: Options, monitor: Recorder, folder: Path) -> None:
    build._check_architecture(plan_bake(options, Store(folder), monitor))


@pytest.mark.parametrize("options", [Options(base="debian13"), Options(base="almalinux9")])
def test_nothing_is_said_of_the_own(options: Options, monitor: Recorder, tmp_path: Path) -> None:
    check(options, monitor, tmp_path)
    assert not monitor.events


def test_an_image_that_is_not_booted_is_made_by_emulation(monitor: Recorder, tmp_path: Path) -> None:
    options = Options(base="almalinux9", architecture="aarch64", format="oci", level="offline")
    check(options, monitor, tmp_path)
    [said] = monitor.events
    assert said["text"] == (
        "The base almalinux9 is for aarch64, but this machine is x86_64: programs of the image are "
        "emulated, which takes several times as long."
    )


@pytest.mark.parametrize(
    "options",
    [
        Options(base="almalinux9", architecture="aarch64", level="boot"),
        Options(base="almalinux9", architecture="aarch64", level="none", engine="packer"),
    ],
)
def test_an_image_that_would_be_booted_is_refused(
    options: Options, monitor: Recorder, tmp_path: Path
) -> None:
    with pytest.raises(MissingHere, match="but this machine is x86_64, and does not boot it") as raised:
        check(options, monitor, tmp_path)
    assert "--verify offline" in raised.value.hint
