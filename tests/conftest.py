"""What the tiers share: the commands as a user runs them, and a cache kept between runs."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from bakery.commands.command_line.settings import VARIABLES
from bakery.image import bases
from bakery.machines.layer import layer
from bakery.runtime import qemu_img
from bakery.store.store import Store, default_root, is_intact, manifest_path, read_manifest
from provisioner import plan as plans
from provisioner.disk.file_systems import mount_root
from provisioner.process import run
from tests import quick
from tests.integration import el_standin
from tests.integration.el_standin import Standin
from tests.integration.tool_environments import CACHE

# As it is imported, by whichever test is first to have an ad parsed, it sets CONDOR_CONFIG=/dev/null for
# every child of ours: HTCondor's tools in an image would read that.
_configured = "CONDOR_CONFIG" in os.environ
import htcondor2  # type: ignore[import-untyped]  # noqa: E402, F401  # no types; for its effect, now

if not _configured:
    os.environ.pop("CONDOR_CONFIG", None)

# Compiled modules, those that pytest rewrites among them, lie apart: worker/ is copied into images.
sys.dont_write_bytecode = False
sys.pycache_prefix = str(CACHE / "pycache")

# pytest imports readline, which exports the size of a terminal, and the lanes of xdist inherit it: a test
# would see another environment in a lane than alone.
for _size in ("COLUMNS", "LINES"):
    os.environ.pop(_size, None)

# By default, an example that takes longer than 200 ms fails: on a busy machine, any may.
hypothesis.settings.register_profile("any speed", deadline=None)
hypothesis.settings.load_profile("any speed")

BASE = bases.find(bases.DEFAULT)

BIN = Path(sys.executable).parent
# A base of one's own: the TOML file of a vendor's image.
VENDOR = """
name = "mine"
title = "Mine"
family = "debian"
architecture = "x86_64"
end_of_life = 2030-01-01
login = "debian"
firmware = ["bios"]
tested = false
[image]
url = "{url}"
sha256 = "{digest}"
"""


def share_base(store: Store, own: Path) -> None:
    """Give a cache of a test's own the default base of another: this file, not the folder.

    What a bake of another base adds stays in its own, and what others add there does not disturb it: a link
    to a test's file, for example, which is gone when that test has ended.
    """
    (own / "bases").mkdir(parents=True)
    for path in (store.base(BASE.id), manifest_path(store.base(BASE.id))):
        if path.exists():  # otherwise the base is built there
            (own / "bases" / path.name).symlink_to(path)


VIRTUAL = "tests/boot/vm/"
DOCKER = "tests/integration/docker/"
LONG = (VIRTUAL, DOCKER)


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """For pytest-xdist: virtual machines are one lane, so that there is one at a time; else a file is.

    Tests of containers share a daemon and a pool, so they are one lane, too.
    """

    def _split_scope(self, nodeid: str) -> str:
        for folder in LONG:
            if nodeid.startswith(folder):
                return folder
        return nodeid.split("::")[0]

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """A file that has ended is forgotten: after each test, all that are known are counted."""
        nodeid = self.registered_collections[node][item_index]
        scope = self._split_scope(nodeid)
        unit = self.assigned_work[node][scope]
        unit[nodeid] = True
        if all(unit.values()):
            del self.assigned_work[node][scope]
        self._reschedule(node)

    def _reschedule(self, node: Any) -> None:
        """Assign a file to a lane when its last test begins: not before, as it waits for that test's end.

        The lane begins its last test when it knows the next one. What waits for a virtual machine is the
        shortest file, as the other lanes may have nothing to do before it ends.
        """
        if node.shutting_down:
            return
        if not self.workqueue:
            node.shutdown()
        elif self._pending_of(self.assigned_work[node]) < 2:
            if not self.assigned_work[node].keys().isdisjoint(LONG):
                self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
            self._assign_work_unit(node)

    def _assign_work_unit(self, node: Any) -> None:
        """As xdist does, which searches the list of all tests for each."""
        scope, unit = self.workqueue.popitem(last=False)
        self.assigned_work[node][scope] = unit
        node.send_runtest_some([self._places[nodeid] for nodeid, ended in unit.items() if not ended])

    @cached_property
    def _places(self) -> dict[str, int]:
        """All lanes have collected the same tests."""
        return {nodeid: place for place, nodeid in enumerate(self.collection)}


_CLONE_NEWNS, _MS_PRIVATE_RECURSIVE = 0x20000, 0x44000  # linux/sched.h, linux/mount.h


def own_mounts() -> None:
    """Give this lane of tests a mount namespace: no sandbox of another lane keeps mounted what it mounts.

    Such a copy keeps the file system in use after umount(8), and what was written is not all on the disk
    when the next step reads it. When the lane ends, the kernel unmounts what tests have left.

    Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_PRIVATE_RECURSIVE, None):
        raise OSError(ctypes.get_errno(), "cannot get a mount namespace for the tests")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


_IMAGES = {"baked", "baked_prominence"}  # fixtures
_LEFT = "left_for_full"  # how many tests are, by whoever collected them
_left = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="the tests marked full, those of any input with many more examples, and no others",
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected stays until the end: the garbage collector does not look at it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Virtual machines begin, and what needs no image beside them, as one may have to be made; then the
    longest, so that the lanes end together.

    What is marked full is left out, unless it is asked for by --full or by its name.
    """
    full = config.getoption("--full")
    wanted = _is_full if full else _is_usual
    left = [item for item in items if not (wanted(item) or _is_named(item, config.args))]
    items[:] = [item for item in items if wanted(item) or _is_named(item, config.args)]
    config.hook.pytest_deselected(items=left)
    _note_left(config, 0 if full else len(left))
    imaged = {item.path for item in items if not _IMAGES.isdisjoint(getattr(item, "fixturenames", ()))}
    items.sort(
        key=lambda item: (
            not item.nodeid.startswith(VIRTUAL),
            item.path in imaged,
            -quick.seconds_of(item.nodeid),
        )
    )


def _is_usual(item: pytest.Item) -> bool:
    return item.get_closest_marker("full") is None


def _is_full(item: pytest.Item) -> bool:
    """Also tests of any input: tests/unit/conftest.py has more examples for them then."""
    return not _is_usual(item) or getattr(getattr(item, "obj", None), "is_hypothesis_test", False)


def _is_named(item: pytest.Item, words: Sequence[str]) -> bool:
    """Whether a word of the command line is this test's name, or that of all its parameters."""
    own = item.nodeid.partition("::")[2]
    for path, _, name in (word.partition("::") for word in words):
        is_own = name and (own == name or own.startswith((f"{name}[", f"{name}::")))
        if is_own and Path(path).resolve() == item.path:
            return True
    return False


def _note_left(config: pytest.Config, number: int) -> None:
    config.stash[_left] = number
    if hasattr(config, "workeroutput"):  # of a lane, which tells the process that prints
        config.workeroutput[_LEFT] = number


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[_left] = getattr(node, "workeroutput", {}).get(_LEFT, 0)


_GIB = 2**30
_DISK_GIB = 12  # what the whole run takes at most, of the temporary folder and the cache together


def _free_gib(path: Path) -> int:
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(there).free // _GIB


def pytest_report_header() -> str:
    """Say how much space there is: a full disk makes tests fail for any reason but this one."""
    temporary, cache = Path(tempfile.gettempdir()), default_root()
    return f"free disk: {_free_gib(temporary)} GiB in {temporary}, {_free_gib(cache)} GiB for the cache"


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to start tests of images that the disk has no space for."""
    bakes = any(Path(word).parts[1:2] != ("unit",) and "::" not in word for word in config.args)
    free = min(map(_free_gib, (Path(tempfile.gettempdir()), default_root())))
    if bakes and free < _DISK_GIB:
        raise pytest.UsageError(
            f"The tests need {_DISK_GIB} GiB, and {free} GiB are free. Free some, or set TMPDIR and"
            " WORKER_BAKERY_CACHE to folders of another disk."
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(pytest_report_header())
    if left := config.stash.get(_left, 0):
        terminalreporter.write_line(f"Tests left for scripts/test full: {left}")


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The commands under test read no configuration file and no variable of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("no-settings")))
        for key, variable in VARIABLES.items():
            if key != "cache":  # which is that of this machine
                patch.delenv(variable, raising=False)
        # The same image is wanted again and again: only the tests of --refresh ask repositories.
        patch.setenv(VARIABLES["refresh"], "never")
        yield


Folders = Callable[[str], Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folders]:
    """Make folders for fixtures of a module. They go at its end: pytest would keep gibibytes of disks.

    A folder below which something is still mounted stays.
    """
    made: list[Path] = []

    def folder(name: str) -> Path:
        made.append(tmp_path_factory.mktemp(name))
        return made[-1]

    yield folder
    mounted_here = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    for path in made:
        if f" {path}/" not in mounted_here:
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


def command(
    name: str, *argv: str, env: Mapping[str, str] | None = None, prefix: Sequence[str] = (), stdin: str = ""
) -> Ended:
    """Run one of the console scripts to its end."""
    done = subprocess.run(
        [*prefix, str(BIN / name), *argv],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def store() -> Store:
    """The user's own cache: a base costs minutes, and using it as users do is part of the test."""
    return Store(default_root())


@pytest.fixture(scope="session")
def root_only() -> None:
    if os.geteuid() != 0:
        pytest.fail("these tests mount disks and make namespaces: run them as root")
    own_mounts()


@pytest.fixture(scope="session")
def baked(root_only: None) -> dict[str, Any]:
    """The default image, baked (or found in the store) and proven offline."""
    return bake("osg")


@pytest.fixture(scope="session")
def baked_prominence(root_only: None) -> dict[str, Any]:
    """The same for the other kind of worker."""
    return bake("prominence")


def bake(kind: str) -> dict[str, Any]:
    """All checkpoints, from which tests start: without the option, there are those that save time here."""
    wanted = ("--worker", kind, "--verify", "offline", "--checkpoints", "all")
    result = _baked(*wanted)
    manifest = read_manifest(Path(result["path"]))
    assert manifest
    plan = plans.from_json(manifest["plan"])
    if is_intact(Store(default_root()).checkpoint(plan.id_after(plan.role_ends()[-2]))):
        return result
    return _baked(*wanted, "--refresh", "always")  # whoever used the cache before has not kept them


def _baked(*argv: str) -> dict[str, Any]:
    done = command("bake-image", *argv, "--json")
    assert done.status == 0, done.err[-3000:]
    result: dict[str, Any] = json.loads(done.out)
    return result


@pytest.fixture(scope="session")
def image_root(baked: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The baked image's root file system, mounted read-only."""
    with mounted(Path(baked["path"]), tmp_path_factory.mktemp("image")) as root:
        yield root


@pytest.fixture(scope="session")
def prominence_root(
    baked_prominence: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """That of a PROMINENCE worker's image."""
    with mounted(Path(baked_prominence["path"]), tmp_path_factory.mktemp("prominence")) as root:
        yield root


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    disk, root = folder / "disk.raw", folder / "root"
    root.mkdir()
    qemu_img.to_raw(image, disk)
    mount_root(disk, root, read_only=True)
    try:
        yield root
    finally:
        run.call(["umount", str(root)])
        disk.unlink()


@pytest.fixture(scope="session")
def standin(baked: dict[str, Any], store: Store, tmp_path_factory: pytest.TempPathFactory) -> Standin:
    """An EL stand-in; `baked` sees to it that the store has the base it is made of."""
    own = tmp_path_factory.getbasetemp()
    of_run = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return el_standin.shared(store, of_run)


@pytest.fixture
def worker_root(image_root: Path, tmp_path: Path) -> Iterator[Path]:
    """A fresh, writable root directory of a worker: a layer in memory over the image."""
    with layer(image_root, tmp_path) as root:
        yield root
