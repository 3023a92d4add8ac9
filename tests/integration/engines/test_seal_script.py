"""The seal and its check, in a small root directory with the programs of this machine.

Each entry of TRACES matters: without it, its trace stays in the image, and the check names it.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.layer import layer
from provisioner.packages.repositories import APT
from provisioner.roles.seal import TRACES, Trace, removal_script
from tests.conftest import Folders, command
from tests.image.test_hygiene import test_no_trace_of_the_build_is_in_the_image as check

NAMES = [trace.pattern for trace in TRACES]


@dataclass(frozen=True)
class Host:
    """What the image tests use of testinfra's host, in a root directory."""

    root: Path

    def run(self, script: str) -> Any:
        argv = ["chroot", str(self.root), "sh", "-c", script]
        return subprocess.run(argv, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def programs(root_only: None, folders: Folders) -> Iterator[Path]:
    """A root directory with a writable layer over /usr of this machine."""
    root = folders("small-root")
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "work").mkdir()
    with layer(Path("/usr"), root / "work") as usr:
        (root / "usr").mkdir()
        subprocess.run(["mount", "--bind", usr, root / "usr"], check=True)
        yield root
        subprocess.run(["umount", root / "usr"], check=True)


@pytest.fixture
def host(programs: Path) -> Iterator[Host]:
    yield Host(programs)
    for path in programs.iterdir():
        if path.name not in ("bin", "lib", "lib64", "sbin", "work", "usr"):
            shutil.rmtree(path)


def traces_of(trace: Trace) -> list[str]:
    """Files that the trace matches, hidden ones among them."""
    if trace.what == "files":
        return [f"{trace.pattern}/apt/term.log", f"{trace.pattern}/.hidden"]
    folder, _, name = trace.pattern.rpartition("/")
    hidden = [f"{folder}/.hidden{name[1:]}"] if name.startswith("*") else []
    return [f"{folder}/{name.replace('*', 'some')}", *hidden]


def dirty(root: Path, trace: Trace) -> list[str]:
    """Leave the trace in the root directory; return its files."""
    found = traces_of(trace)
    for path in found:
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / path[1:]).write_text("a trace")
    return found


@pytest.mark.parametrize("trace", TRACES, ids=NAMES)
def test_a_seal_without_one_entry_is_noticed(trace: Trace, host: Host) -> None:
    paths = dirty(host.root, trace)
    host.run(removal_script([other for other in TRACES if other is not trace]))
    with pytest.raises(AssertionError, match="in the image") as caught:
        check(host, trace)
    assert trace.why in str(caught.value)
    for path in paths:
        assert f"{path}\n" in str(caught.value)
    host.run(removal_script())
    check(host, trace)
    assert [path for path in paths if (host.root / path[1:]).exists()] == []


def test_only_the_package_sources_of_the_plan_are_kept(host: Host) -> None:
    sources = host.root / "etc/apt/sources.list.d"
    sources.mkdir(parents=True)
    for name in (f"{Path(APT).name}htcondor.sources", "debian.sources", "a site's own.list", ".hidden"):
        (sources / name).touch()
    host.run(removal_script())
    assert [path.name for path in sources.iterdir()] == ["worker-htcondor.sources"]
    for trace in TRACES:
        check(host, trace)


def test_names_with_blanks_and_line_ends_are_removed_and_other_files_stay(host: Host) -> None:
    gone = ("var/log/a b", "tmp/a\nb", "home/-rf", "etc/apt/apt.conf.d/my-proxy.conf", "home/a/.b/c")
    stay = ("root/.bashrc", "etc/passwd", "etc/apt/apt.conf.d/20x", "var/log/journal/keep/", "etc/.hidden")
    for path in (*gone, *stay):
        (host.root / path).parent.mkdir(parents=True, exist_ok=True)
        (host.root / path).mkdir() if path.endswith("/") else (host.root / path).touch()
    host.run(removal_script())
    assert [path for path in gone if (host.root / path).exists()] == []
    assert [path for path in stay if not (host.root / path).exists()] == []


def test_the_list_is_printed_as_text_and_as_json() -> None:
    text = command("bake-image", "--list-seal")
    assert text.status == 0
    for trace, row in zip(TRACES, text.out.splitlines(), strict=True):
        assert row.split(maxsplit=1)[0] == shlex.quote(trace.pattern).strip("'") and row.endswith(trace.why)
    rows = json.loads(command("bake-image", "--list-seal", "--json").out)
    assert [row["path"] for row in rows] == NAMES
    assert {row["removes"] for row in rows} == {"all", "files"}
