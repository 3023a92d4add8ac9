"""That KVM does not work is remembered for a day: of this boot, this QEMU and this kernel."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from bakery.machines import accelerator
from bakery.machines.accelerator import KVM, TCG
from provisioner.events import Silent


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(tmp_path / "cache"))
    for name in ("qemu", "kvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(accelerator, "DEVICE", tmp_path / "kvm")
    monkeypatch.setattr("shutil.which", lambda _: str(tmp_path / "qemu"))
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    return tmp_path / "vmlinuz"


def trials(monkeypatch: pytest.MonkeyPatch, problem: str) -> list[str]:
    made: list[str] = []

    def tried(*_: object) -> str:
        made.append(problem)
        return problem

    monkeypatch.setattr(accelerator, "_test_kvm", tried)
    return made


def test_a_failure_is_remembered(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trials(monkeypatch, "it hung")
    assert [accelerator.choose("auto", kernel, kernel.parent, Silent()) for _ in range(3)] == [TCG] * 3
    assert made == ["it hung"]


def test_a_success_is_not(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trials(monkeypatch, "")
    assert [accelerator.choose("auto", kernel, kernel.parent, Silent()) for _ in range(2)] == [KVM] * 2
    assert len(made) == 2


@pytest.mark.parametrize("change", ["another kernel", "another QEMU", "a day later", "a broken file"])
def test_it_is_tried_again(change: str, kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trials(monkeypatch, "it hung")
    accelerator.choose("auto", kernel, kernel.parent, Silent())
    kept = json.loads(accelerator.failure_file().read_text())
    if change == "another kernel":
        kernel.write_bytes(b"a kernel")
    if change == "another QEMU":
        monkeypatch.setattr("shutil.which", lambda _: str(kernel))
    if change == "a day later":
        accelerator.failure_file().write_text(json.dumps({**kept, "at": time.time() - 90000}))
    if change == "a broken file":
        accelerator.failure_file().write_text("{")
    accelerator.choose("auto", kernel, kernel.parent, Silent())
    assert len(made) == 2
