"""What can go wrong in a bake, each for real: its message, its logs, nothing left, the next bake fine.

The faults are what a user meets: mirrors, packages and disks that fail. A package made here fails as
it is installed, so that a step of a real plan does. What is shown elsewhere: kill -9 and signals in
test_kill.py, a truncated image or checkpoint in test_cache_in_use.py, missing tools in test_bake.py,
a packer that is missing, too old or killed, or finds its port taken, in test_packer_engine.py, a
connection cut in a step in test_provision_ssh.py, and machines that do not come up in
tests/boot/vm/test_machine_faults.py.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.needs import Image, Needs, boot
from bakery.runtime import qemu_img
from bakery.store.store import Store, manifest_path
from provisioner.disk.file_systems import mount_root
from provisioner.process import run
from tests.conftest import BASE, BIN, VENDOR, Ended, Folders, command
from tests.integration import repository
from tests.integration.bake.test_baked_roles import roles_store
from tests.integration.bake.test_kill import nothing_stays

NOBODY = "http://127.0.0.1:9"
MEGABYTE = 1 << 20
STEP = "Where: apptainer: install apptainer, squashfuse"
# Half of it in lines and half in one line without an end.
MUCH = "f() { head -c 20M /dev/zero | tr '\\0' $1; }; f x | fold -w 499 >&2; f y >&2; exit 3"


@dataclass(frozen=True)
class Bench:
    """Where the faults are tried: a store of their own, and a server's folder and URL."""

    store: Store
    folder: Path
    url: str

    def lent(self, name: str, postinst: str) -> tuple[str, ...]:
        """Options for a role whose package does this when it is installed."""
        where = self.folder / name
        where.mkdir()
        files = {
            "DEBIAN/postinst": (f"#!/bin/sh\n{postinst}\n", 0o755),
            "usr/bin/apptainer": ("#!/bin/sh\n: >/usr/libexec/condor/exit_37.sif\n", 0o755),
        }
        # Of a version of its own: apt takes what it has of a name and version without a second look.
        repository.package(where, "apptainer", "", files, version=str(len(list(self.folder.iterdir()))))
        key = repository.index(where)
        return self.source(name, f"{self.url}/{name}", key)

    def source(self, name: str, url: str, key: str = "") -> tuple[str, ...]:
        file = self.folder / f"{name}.sources"
        signed = f"Signed-By:{repository.as_field(key)}\n" if key else ""
        file.write_text(f"Types: deb\nURIs: {url}\nSuites: ./\n{signed}")
        return ("--with", "apptainer", "--apt-source", str(file))


@dataclass(frozen=True)
class Case:
    argv: Sequence[str]
    store: Store
    prefix: Sequence[str] = ()

    @property
    def env(self) -> dict[str, str]:
        return {"WORKER_BAKERY_CACHE": str(self.store.root)}


@dataclass(frozen=True)
class Fault:
    status: int
    says: tuple[str, ...]
    arrange: Callable[[Bench, Path], Case] = field(repr=False)


def installing(postinst: str) -> Callable[[Bench, Path], Case]:
    return lambda bench, place: Case(bench.lent(place.name, postinst), bench.store)


def corrupt_package(bench: Bench, place: Path) -> Case:
    argv = bench.lent(place.name, "true")
    package = bench.folder / place.name / "apptainer.deb"
    package.write_bytes(package.read_bytes()[:-1] + b"\0")
    return Case(argv, bench.store)


def corrupt_index(bench: Bench, place: Path) -> Case:
    """The list of packages is another one than was signed."""
    argv = bench.lent(place.name, "true")
    signed = bench.folder / place.name / "InRelease"
    signed.write_text(signed.read_text().replace("Codename: test", "Codename: best"))
    return Case(argv, bench.store)


def silent_source(bench: Bench, place: Path) -> Case:
    return Case(bench.source(place.name, f"{NOBODY}/silent"), bench.store)


def silent_mirror(bench: Bench, place: Path) -> Case:
    return Case((*bench.lent(place.name, "true"), "--mirror", f"{NOBODY}/debian"), bench.store)


def truncated_base(bench: Bench, place: Path) -> Case:
    """The base must be built again, which fails with this mirror."""
    own = Store(place / "cache")
    base, whole = own.base(BASE.id), bench.store.base(BASE.id)
    base.parent.mkdir(parents=True)
    with whole.open("rb") as source:
        base.write_bytes(source.read(whole.stat().st_size // 4))
    shutil.copyfile(manifest_path(whole), manifest_path(base))
    return Case(("--mirror", f"{NOBODY}/debian"), own)


def truncated_download(bench: Bench, place: Path) -> Case:
    """A vendor's image, of which the server has the first half only."""
    content = os.urandom(MEGABYTE)
    (bench.folder / "half.qcow2").write_bytes(content[: MEGABYTE // 2])
    base = place / "mine.toml"
    digest = hashlib.sha256(content).hexdigest()
    base.write_text(VENDOR.format(url=f"{bench.url}/half.qcow2", digest=digest))
    return Case(("--base", str(base)), Store(place / "cache"))


def small(size: str, argv: Sequence[str], store: Store, place: Path) -> Case:
    """The cache on a file system of this size, with what the store has outside of it."""
    script = (
        "mount -t tmpfs -o size=$0 tmpfs $1; for f in $(ls $2); do ln -s $2/$f $1; done; "
        'rm -f $1/work $1/logs $1/locks; shift 2; exec "$@"'
    )
    where = place / "small"
    where.mkdir()
    own = Store(where)
    return Case(argv, own, ("unshare", "--mount", "sh", "-c", script, size, str(where), str(store.root)))


def full_for_the_copy(bench: Bench, place: Path) -> Case:
    return small("200M", (), bench.store, place)


def full_for_the_step(bench: Bench, place: Path) -> Case:
    """The copy fits, and what the step writes does not."""
    fill = "head -c 600M /dev/zero >/var/fill; sync /var/fill"
    return small("1200M", bench.lent(place.name, fill), bench.store, place)


FAULTS = {
    "a step fails": Fault(
        1,
        ("the reason of it", STEP, "status 100", "from the last checkpoint", "--keep-failed"),
        installing("echo the reason of it >&2; exit 3"),
    ),
    "the image's disk is full": Fault(
        6,
        ("The root file system of the image is full", "root_size", STEP),
        installing("fallocate -l 9G /var/fill"),
    ),
    "no space for the copy": Fault(
        6, ("disk", "full", "WORKER_BAKERY_CACHE", "Where: copy the"), full_for_the_copy
    ),
    "no space for the step": Fault(
        6, ("The disk that stores the image is full", "WORKER_BAKERY_CACHE", STEP), full_for_the_step
    ),
    "a corrupt package": Fault(7, ("apptainer.deb", "Retry in a few minutes", STEP), corrupt_package),
    "a corrupt index": Fault(
        7, ("manipulated", "Where: apptainer: refresh the package lists"), corrupt_index
    ),
    "a silent repository": Fault(5, ("127.0.0.1", "--apt-source"), silent_source),
    "a silent mirror": Fault(
        5, ("127.0.0.1", "--mirror", "Where: apptainer: refresh the package lists"), silent_mirror
    ),
    "a truncated base": Fault(5, ("127.0.0.1", "renamed to", "Where: build the base"), truncated_base),
    "a truncated download": Fault(7, ("sha256", "expected", "half.qcow2"), truncated_download),
}


@pytest.fixture(scope="module")
def bench(store: Store, baked: dict[str, Any], folders: Folders) -> Iterator[Bench]:
    folder = folders("faults")
    own = roles_store(store, folder / "cache")
    (folder / "served").mkdir()
    with repository.served(folder / "served") as url:
        yield Bench(own, folder / "served", url)


def state(store: Store) -> set[tuple[str, int, int]]:
    """All disks that have a name: what a failed bake must not touch."""
    found = [path for name in ("bases", "checkpoints", "images") for path in (store.root / name).glob("*")]
    return {(path.name, path.stat().st_size, path.stat().st_ino) for path in found}


def bake(case: Case, *more: str) -> Ended:
    return command("bake-image", "--verify", "none", *case.argv, *more, env=case.env, prefix=case.prefix)


def logs_of(said: str) -> Path:
    found = re.search(r"^Logs: (.+)$", said, re.MULTILINE)
    assert found, said
    return Path(found[1])


def place_for(name: str, tmp_path: Path) -> Path:
    place = tmp_path / re.sub(r"\W", "-", name)
    place.mkdir()
    return place


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_leaves_nothing(name: str, bench: Bench, tmp_path: Path) -> None:
    fault = FAULTS[name]
    case = fault.arrange(bench, place_for(name, tmp_path))
    kept = state(bench.store)
    done = bake(case)
    assert done.status == fault.status, done.err[-3000:]
    assert done.out == ""
    assert "Traceback" not in done.err
    for text in fault.says:
        assert text in done.err
    nothing_stays(case.store.root)
    assert not list((case.store.root / "work").glob("*"))
    # The first of the bakes may have made the checkpoint that the others start from.
    assert {entry for entry in kept if "checkpoint" not in entry[0]} <= state(bench.store)
    if not case.prefix:  # else they went with the file system
        check_logs(logs_of(done.err))


def check_logs(logs: Path) -> None:
    assert logs.stat().st_mode & 0o077 == 0
    (events,) = logs.iterdir()
    assert events.stat().st_mode & 0o077 == 0
    assert "error: " in events.read_text()[-5000:]


def test_much_output_fills_no_memory(bench: Bench, tmp_path: Path) -> None:
    """The most that the command or any of its children ever had: as for a word, so for 40 MB."""
    little, _ = peak(installing("echo little >&2; exit 3")(bench, place_for("little", tmp_path)), tmp_path)
    much, said = peak(installing(MUCH)(bench, place_for("much", tmp_path)), tmp_path)
    assert much < little + 20, (little, much)
    assert STEP in said and "yyyyyyyyyy" in said
    assert len(said) < MEGABYTE
    (events,) = logs_of(said).iterdir()
    assert MEGABYTE < events.stat().st_size < 20 * MEGABYTE
    assert "lines of output omitted" in events.read_text()


def peak(case: Case, folder: Path) -> tuple[float, str]:
    """MiB, and what the failing bake said."""
    argv = [str(BIN / "bake-image"), "--verify", "none", *case.argv]
    with (folder / "said").open("w+") as said:
        child = subprocess.Popen(argv, env={**os.environ, **case.env}, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 1
        said.seek(0)
        return usage.ru_maxrss / 1024, said.read()


def test_the_disk_of_a_failed_step_is_kept_boots_and_opens_by_the_printed_command(
    bench: Bench, tmp_path: Path
) -> None:
    fails = installing("echo as far as here >/var/trace; exit 3")(bench, place_for("kept", tmp_path))
    done = bake(fails, "--keep-failed", "-o", str(tmp_path / "my worker.qcow2"))
    assert done.status == 1, done.err
    kept = tmp_path / "my worker.failed.qcow2"
    printed = re.search(r"a shell in it: worker-bakery (shell .*)$", done.err, re.MULTILINE)
    assert printed and str(kept) in printed[1]
    before = hashlib.sha256(kept.read_bytes()).hexdigest()
    look = ("-c", "cat /var/trace && dpkg -s apptainer | grep Status && touch /var/trace")
    seen = command("worker-bakery", *shlex.split(printed[1]), "--", "sh", *look, env=fails.env)
    assert (seen.status, seen.err) == (0, "")
    assert seen.out == "as far as here\nStatus: install ok half-configured\n"
    typed = command(
        "worker-bakery", *shlex.split(printed[1]), env=fails.env, stdin="echo in $PWD; exit 4\n"
    )
    assert (typed.status, typed.out) == (4, "in /\n")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == before
    nothing_stays(bench.store.root)
    boots(kept, tmp_path)


def boots(disk: Path, folder: Path) -> None:
    raw, root, work = folder / "disk.raw", folder / "root", folder / "machine"
    for made in (root, work):
        made.mkdir()
    qemu_img.to_raw(disk, raw)
    mount_root(raw, root, read_only=True)
    try:
        with boot(Needs(), Image(disk, root, BASE.login), work) as machine:
            assert machine.wait_booted() in ("running", "degraded")
    finally:
        run.call(["umount", str(root)])


def test_after_all_of_them_the_next_bake_is_fine(bench: Bench, tmp_path: Path) -> None:
    done = bake(installing("true")(bench, place_for("good", tmp_path)), "-o", str(tmp_path / "good.qcow2"))
    assert done.status == 0, done.err
    assert (tmp_path / "good.qcow2").exists()
    nothing_stays(bench.store.root)
