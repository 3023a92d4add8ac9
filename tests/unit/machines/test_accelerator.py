"""A failed test of KVM is cached for a day, for this boot, this QEMU and this kernel."""

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


def record_tests(monkeypatch: pytest.MonkeyPatch, problem: str) -> list[str]:
    tests: list[str] = []

    def test_kvm(*_: object) -> str:
        tests.append(problem)
        return problem

    monkeypatch.setattr(accelerator, "_test_kvm", test_kvm)
    return tests


def test_a_failure_is_cached(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = record_tests(monkeypatch, "it hung")
    assert [accelerator.choose("auto", kernel, kernel.parent, Silent()) for _ in range(3)] == [TCG] * 3
    assert tests == ["it hung"]


def test_a_success_is_not_cached(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = record_tests(monkeypatch, "")
    assert [accelerator.choose("auto", kernel, kernel.parent, Silent()) for _ in range(2)] == [KVM] * 2
    assert len(tests) == 2


@pytest.mark.parametrize("change", ["another kernel", "another QEMU", "a day later", "a broken file"])
def test_kvm_is_tested_again(change: str, kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = record_tests(monkeypatch, "it hung")
    accelerator.choose("auto", kernel, kernel.parent, Silent())
    cached = json.loads(accelerator.failure_file().read_text())
    if change == "another kernel":
        kernel.write_bytes(b"a kernel")
    if change == "another QEMU":
        monkeypatch.setattr("shutil.which", lambda _: str(kernel))
    if change == "a day later":
        accelerator.failure_file().write_text(json.dumps({**cached, "at": time.time() - 90000}))
    if change == "a broken file":
        accelerator.failure_file().write_text("{")
    accelerator.choose("auto", kernel, kernel.parent, Silent())
    assert len(tests) == 2
