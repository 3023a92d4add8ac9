from __future__ import annotations

from pathlib import Path

import pytest

from bakery.image import bases, recipe
from bakery.runtime import data
from provisioner.actions import Put, Run
from provisioner.plan import Plan
from provisioner.roles.base import POLICY
from provisioner.roles.seal import TRACES, removal_script


def debian13(kind: str = "osg") -> Plan:
    return recipe.plan(bases.find("debian13"), kind)


@pytest.mark.parametrize("kind", recipe.ROLES)
def test_the_order_of_roles_ends_with_the_seal(kind: str) -> None:
    seen = list(dict.fromkeys(step.role for step in debian13(kind).steps))
    assert seen == ["base", "condor", f"{kind}_worker", "seal"]


def test_kinds_share_the_steps_before_their_runtime() -> None:
    steps = zip(debian13().steps, debian13("prominence").steps, strict=False)
    assert {a.role for a, b in steps if a.id == b.id} == {"base", "condor"}


@pytest.mark.parametrize("kind", recipe.ROLES)
def test_every_file_of_worker_is_written_once(kind: str) -> None:
    put = [a.path for step in debian13(kind).steps for a in step.actions if isinstance(a, Put)]
    expected = {
        f"/{path.relative_to(data.WORKER / part)}"
        for part in ("common", kind)
        for path in (data.WORKER / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= set(put)
    assert len(put) == len(set(put))


def test_executables_keep_their_mode(tmp_path: Path) -> None:
    (tmp_path / "common/usr/bin").mkdir(parents=True)
    for name, mode in (("run", 0o700), ("read", 0o600)):
        (tmp_path / "common/usr/bin" / name).write_bytes(b"")
        (tmp_path / "common/usr/bin" / name).chmod(mode)
    files = {file.path: file.mode for file in recipe.worker_files(tmp_path, "osg")}
    assert files == {"/usr/bin/run": 0o755, "/usr/bin/read": 0o644}


def test_changing_the_runtime_keeps_the_checkpoint_after_condor(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(data.WORKER, tmp_path / "worker")
    changed = tmp_path / "worker/common/usr/lib/worker-bakery/worker"
    changed.write_text(changed.read_text() + "\n# changed\n")
    before, after = debian13(), recipe.plan(bases.find("debian13"), "osg", tmp_path / "worker")
    same = [a.role for a, b in zip(before.steps, after.steps, strict=True) if a.id == b.id]
    assert set(same) == {"base", "condor"}


def test_no_argument_contains_a_url() -> None:
    argv = [word for s in debian13().steps for a in s.actions if isinstance(a, Run) for word in a.argv]
    assert not [word for word in argv if "://" in word]


def test_the_seal_removes_the_service_policy() -> None:
    assert POLICY in [trace.pattern for trace in TRACES]
    folder, _, name = POLICY.rpartition("/")
    assert f"find -H {folder} -mindepth 1 -maxdepth 1 -name '{name}' " in removal_script()


def test_the_seal_never_removes_a_top_level_folder() -> None:
    for trace in TRACES:
        assert trace.pattern.startswith("/"), trace
        assert trace.pattern.count("/") >= 2, trace
