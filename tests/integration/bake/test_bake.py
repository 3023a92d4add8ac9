"""bake-image as its user meets it: the store, checkpoints, and everything that can go wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bakery.bake import lookup
from bakery.bake.options import Options
from bakery.engines.chroot import engine as chroot
from bakery.image import recipe
from bakery.runtime.mirror import find as find_mirror
from bakery.store.store import Store, work_folder
from provisioner import plan as plans
from provisioner.errors import NotProven
from provisioner.events import Event, Silent
from provisioner.plan import Plan, PlannedStep, chained_id
from provisioner.roles import Context
from provisioner.steps import Command, File, Step
from tests.conftest import BASE, VENDOR, command

# Another user, who may read this checkout and write where the test says, wherever they are. (A user
# namespace would do without the capability, but cannot be made in a chroot.)
_READ = "+dac_override"
NOT_ROOT = ("setpriv", "--reuid=65534", "--clear-groups", f"--inh-caps={_READ}", f"--ambient-caps={_READ}")


class Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def phases(self) -> list[str]:
        return [event["name"] for event in self.events if event["event"] == "end"]


def test_a_second_bake_comes_from_the_store(baked: dict[str, Any]) -> None:
    done = command("bake-image", "--verify", "offline", "--json")
    again = json.loads(done.out)
    assert again["from_store"] is True
    assert again["path"] == baked["path"]
    events = [json.loads(line) for line in done.err.splitlines()]
    assert [event["event"] for event in events] == ["note"]


def test_its_user_s_own_htcondor_is_not_asked(baked: dict[str, Any], tmp_path: Path) -> None:
    theirs = {"CONDOR_CONFIG": "/dev/null", "_CONDOR_START": "True"}
    done = command("worker-bakery", "verify", baked["path"], "--level", "offline", env=theirs)
    assert done.status == 0, done.err[-3000:]


def test_output_is_the_image_the_manifest_names(baked: dict[str, Any], tmp_path: Path) -> None:
    wanted = tmp_path / "worker image.qcow2"
    done = command("bake-image", "--verify", "offline", "--json", "-o", str(wanted))
    assert json.loads(done.out)["path"] == str(wanted)
    assert hashlib.sha256(wanted.read_bytes()).hexdigest() == baked["sha256"]
    beside = {"worker image.manifest.json", "worker image.SHA256SUMS"}
    assert {path.name for path in tmp_path.iterdir()} == {wanted.name} | beside


def test_dry_run_needs_nothing_and_touches_nothing(tmp_path: Path) -> None:
    env = {"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    done = command("bake-image", "--dry-run", "--json", env=env, prefix=NOT_ROOT)
    assert done.status == 0
    assert plans.from_json(json.loads(done.out)).id
    assert list(tmp_path.iterdir()) == []


def changed_late(plan: Plan) -> Plan:
    """The plan with another file among the runtime's, and every id from there on anew."""
    position = next(n for n, step in enumerate(plan.steps) if step.role == "osg_worker")
    steps, before = list(plan.steps), plan.id_after(position)
    for n in range(position, len(steps)):
        actions = steps[n].actions + (File("/etc/changed", b"x").actions() if n == position else ())
        before = chained_id(before, actions)
        steps[n] = PlannedStep(steps[n].role, steps[n].title, actions, before)
    return Plan(plan.base, plan.base_id, plan.kind, tuple(steps))


def test_a_changed_late_step_starts_from_the_checkpoint_before_it(
    baked: dict[str, Any], store: Store
) -> None:
    plan, heard = changed_late(recipe.plan(BASE, "osg")), Heard()
    with work_folder(store) as work:
        repositories = chroot.Repositories("trixie", find_mirror().sources("trixie"))
        image = chroot.bake(plan, store, repositories, work, heard).disk
        assert image.stat().st_size > 0
    done = heard.phases()
    assert "copy the checkpoint" in done
    assert not [name for name in done if name.startswith(("base:", "condor:"))]
    assert [name for name in done if name.startswith("osg_worker:")]


def dirty(context: Context) -> tuple[Step, ...]:
    """A token that no plan holds, as a program would leave it: one in a plan is refused before."""
    program = 'printf "Token = eyJ%s.eyJ%s.%s\\n" "$@" > /etc/osg-worker.conf'
    parts = ("hbGciOiJIUzI1NiJ9", "zdWIiOiJhQGIifQ", "c2lnbmF0dXJl")
    token = Command("leave a token", ("/bin/sh", "-c", program, "sh", *parts))
    return (token, File("/etc/ssh/ssh_host_rsa_key", b"", 0o600))


def test_a_dirty_image_is_refused_and_kept_only_when_asked(
    baked: dict[str, Any], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that still holds a token and a host key after its seal."""
    monkeypatch.setitem(recipe.ROLES, "osg", (*recipe.ROLES["osg"], ("dirt", dirty)))
    options = Options(output=tmp_path / "out.qcow2", level="offline", keep_failed=True)
    with pytest.raises(NotProven) as caught:
        lookup.bake(options, store, Silent())
    found = ("The image contains secrets:", "/etc/osg-worker.conf")
    for complaint in (*found, "The image failed these tests:", "ssh host keys in"):
        assert complaint in caught.value.message
    assert "c2lnbmF0dXJl" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["out.failed.qcow2"]
    assert str(tmp_path / "out.failed.qcow2") in caught.value.hint
    plan = recipe.plan(BASE, "osg")
    assert not store.image(plan).exists()


# --- what can be missing or wrong --------------------------------------------------------------


def fails(status: int, *says: str, argv: tuple[str, ...], **how: Any) -> None:
    """The command ends with this code and one paragraph that says these things."""
    done = command("bake-image", "-q", *argv, **how)
    assert done.status == status, done.err
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    for text in says:
        assert text in done.err


def test_not_root(tmp_path: Path) -> None:
    env = {"WORKER_BAKERY_CACHE": str(tmp_path)}
    fails(3, "requires root", "Run the same command", argv=(), env=env, prefix=NOT_ROOT)


def test_a_missing_tool(private_store: Store, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("setpriv", "unshare", "mount", "chroot", "sfdisk"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "")
    env = {"WORKER_BAKERY_CACHE": str(private_store.root), "PATH": str(tmp_path / "bin")}
    fails(3, "qemu-img, fstrim", "setup", argv=(), env=env)


def vendor(tmp_path: Path, url: str, digest: str = "ab" * 32) -> tuple[str, ...]:
    (tmp_path / "mine.toml").write_text(VENDOR.format(url=url, digest=digest))
    return ("--base", str(tmp_path / "mine.toml"))


def test_a_base_with_the_wrong_checksum(tmp_path: Path) -> None:
    (tmp_path / "image.qcow2").write_bytes(b"not what was pinned")
    argv = vendor(tmp_path, f"file://{tmp_path}/image.qcow2")
    cache = tmp_path / "cache"
    fails(7, "sha256", "pin", argv=argv, env={"WORKER_BAKERY_CACHE": str(cache)})
    assert not (cache / "bases").exists()
    assert list((cache / "work").iterdir()) == []


def test_a_base_that_cannot_be_fetched(tmp_path: Path) -> None:
    argv = vendor(tmp_path, "http://127.0.0.1:9/image.qcow2")
    fails(5, "127.0.0.1:9", argv=argv, env={"WORKER_BAKERY_CACHE": str(tmp_path / "cache")})


def test_an_output_folder_that_is_not_there(baked: dict[str, Any], tmp_path: Path) -> None:
    fails(2, "nowhere", argv=("--verify", "offline", "-o", str(tmp_path / "nowhere" / "image.qcow2")))


def test_a_damaged_base_is_never_used(private_store: Store) -> None:
    path = private_store.base(BASE.id)
    with path.open("r+b") as disk:
        disk.seek(1 << 20)
        disk.write(b"damage")
    env = {"WORKER_BAKERY_CACHE": str(private_store.root)}
    done = command("bake-image", "--mirror", "http://127.0.0.1:9/debian", env=env)
    assert done.status == 5  # it tried to make the base anew, which this mirror cannot
    assert "damaged" in done.err
    assert not path.exists()
    assert path.with_suffix(".damaged").exists()


def test_verifying_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a disk")
    done = command("worker-bakery", "verify", str(tmp_path / "notes.txt"), "--level", "offline")
    assert (done.status, "no partition table" in done.err) == (2, True), done.err
