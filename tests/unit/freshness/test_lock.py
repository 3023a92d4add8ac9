"""The lock as JSON, in files, and made of what a package manager reports."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

import pytest

from bakery.bake.options import Options, make_plan
from bakery.commands.definition import batch as bake_batch
from bakery.freshness import age, checked, inventory, lock, record, replay
from bakery.freshness.lock import Index, Lock, Package, Repository, Seen, Update
from bakery.freshness.metadata import definitions
from bakery.freshness.metadata.definitions import Sources
from bakery.store.store import checked_path
from provisioner.errors import BadInput
from provisioner.plan import Plan
from provisioner.roles import locked
from provisioner.steps import PackageLists, Packages, Refresh

UPDATE = Update("bash", "amd64", "5.2-1", "5.2-2", "debian trixie", security=True)
SEEN = {"debian trixie": Seen("ab", "tag", "", (Index("main/Packages.xz", "cd"),), "http://m/dists/trixie")}
LOCK = Lock(
    "apt",
    "amd64",
    (Package("bash", "amd64", "5.2-1", "debian trixie"), Package("tzdata", "all", "1:2025b")),
    (Repository("debian trixie", "apt", "", "trixie", ("main",), keys=("k",), url="http://m"),),
    {"k": b"\x99"},
    SEEN,
    (UPDATE,),
)
DISTRIBUTION = "Types: deb\nURIs: http://m/debian\nSuites: trixie trixie-security\nComponents: main\n"
ROWS = [
    *("S\tapt", "A\tamd64", "O\tID=debian", 'O\tVERSION_ID="13"', "P\tbash\tamd64\t5.2-1", "D\tabcd"),
    "F\t/etc/apt/sources.list.d/worker-htcondor.sources\tTypes: deb",
    "F\t/etc/apt/sources.list.d/worker-htcondor.sources\tURIs: https://h/debian",
    "F\t/etc/apt/sources.list.d/worker-htcondor.sources\tSuites: trixie",
    "F\t/etc/apt/sources.list.d/worker-htcondor.sources\tComponents: main",
    "F\t/etc/apt/sources.list.d/worker-htcondor.sources\tSigned-By: /etc/apt/keyrings/h.asc",
    "F\t/run/worker-bakery/sources.list.d/bake.sources\tTypes: deb",
    "K\t/etc/apt/keyrings/h.asc\tAAEC",
]
REPO = """\
[baseos]
mirrorlist=https://mirrors/?arch=$basearch&repo=BaseOS-$releasever
enabled=1
[crb]
baseurl=https://m/crb
enabled=0
[epel]
baseurl=https://e/$releasever/
  https://f/
exclude=condor*, x
"""


def test_it_survives_json() -> None:
    assert lock.from_json(json.loads(json.dumps(lock.to_json(LOCK)))) == LOCK
    with pytest.raises(BadInput, match="format 2"):
        lock.from_json({"format": 2})


def test_a_file_names_no_mirror_and_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "worker.lock"
    replay.write(file, {"lock": lock.to_json(LOCK)})
    assert "http://m" not in file.read_text()
    assert replay.read(file, "apt").packages == (("bash", "amd64", "5.2-1"), ("tzdata", "all", "1:2025b"))
    with pytest.raises(BadInput, match="a lock of apt packages, but the base has rpm"):
        replay.read(file, "rpm")
    with pytest.raises(BadInput, match="no lock, because an earlier version"):
        replay.write(tmp_path / "none", {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not a lock"),
        ("[]", "is not a lock"),
        ('{"format": 3}', "format 3"),
        ("{}", "lock: The lock has format None"),
        (json.dumps({**lock.to_json(LOCK), "packages": [["a"]]}), "is not a lock, or it is damaged"),
        (json.dumps({**lock.to_json(LOCK), "packages": [["a", 1, "1"]]}), "1 is not the name"),
        (json.dumps({**lock.to_json(LOCK), "packages": [["a", "x\ny", "1"]]}), "is not the name"),
        (json.dumps({**lock.to_json(LOCK), "packages": []}), "has no packages"),
        (json.dumps({**lock.to_json(LOCK), "packages": [["a\nPin: x", "all", "1"]]}), "is not the name"),
        (json.dumps({**lock.to_json(LOCK), "packages": [["a", "all", "$(id)"]]}), "is not the name"),
    ],
)
def test_a_file_that_is_no_lock_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(text)
    with pytest.raises(BadInput, match=said):
        replay.read(tmp_path / "lock", "apt")


def test_a_path_that_cannot_be_written_is_refused_before_the_bake(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no folder"):
        make_plan(Options(lock=tmp_path / "gone" / "worker.lock"))
    make_plan(Options(lock=tmp_path / "worker.lock"))


def test_several_images_have_no_common_lock() -> None:
    items = [(name, Options(lock=Path("worker.lock"))) for name in ("a", "b")]
    with pytest.raises(BadInput, match="--lock requires one image, but there are 2"):
        bake_batch.bake(items, argparse.Namespace())


def test_a_report_becomes_a_lock() -> None:
    found = inventory.parse(ROWS)
    assert found
    made = record.of_rows(found, Sources(DISTRIBUTION, release="trixie", urls={"htcondor": "http://mine"}))
    assert made.packages == (Package("bash", "amd64", "5.2-1"),)
    by_id = {one.id: one for one in made.repositories}
    assert list(by_id) == ["debian trixie", "debian trixie-security", "htcondor trixie"]
    assert (by_id["debian trixie"].uri, by_id["debian trixie"].url) == ("", "")
    assert by_id["debian trixie-security"].security
    assert (by_id["htcondor trixie"].uri, by_id["htcondor trixie"].url) == (
        "https://h/debian",
        "http://mine",
    )
    assert [made.keys[key] for key in by_id["htcondor trixie"].keys] == [b"\x00\x01\x02"]
    assert inventory.parse([]) is None


def test_an_embedded_key_and_the_one_line_format() -> None:
    text = "Types: deb\nURIs: http://x\nSuites: ./\nSigned-By:\n -----BEGIN PGP\n .\n AAEC\n"
    [key] = definitions.of_apt("a.sources", text, {}, "own").keys.values()
    assert key == b"-----BEGIN PGP\n\nAAEC"
    line = "deb [signed-by=/k arch=amd64] http://y/ubuntu noble main universe # c\n# deb http://z z z\n"
    [one] = definitions.of_apt("a.list", line, {"/k": b"k"}, "own").repositories
    assert (one.uri, one.suite, one.components) == ("http://y/ubuntu", "noble", ("main", "universe"))
    assert len(one.keys) == 1


def test_sections_of_yum() -> None:
    variables = {"basearch": "x86_64", "releasever": "9"}
    found = definitions.of_yum({"/etc/yum.repos.d/a.repo": REPO, "/etc/yum.repos.d/b": "["}, variables)
    baseos, epel = found.repositories
    assert baseos.mirror_list == "https://mirrors/?arch=x86_64&repo=BaseOS-9"
    assert (epel.uri, epel.exclude) == ("https://e/9", ("condor*", "x"))


def test_the_last_answer_belongs_to_one_disk(tmp_path: Path) -> None:
    disk, manifest = tmp_path / "image.qcow2", {"made": "2026-01-01"}
    assert checked.read(disk, manifest) is None
    checked.write(disk, manifest, SEEN, (UPDATE,))
    found = checked.read(disk, manifest)
    assert found and (found.seen, found.updates) == (SEEN, (UPDATE,))
    assert checked.read(disk, {"made": "2026-01-02"}) is None
    checked_path(disk).write_text("{")
    assert checked.read(disk, manifest) is None


def test_ages_in_words() -> None:
    made = {"made": "2026-01-01T00:00:00+00:00"}
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    said = {
        90: "90 s ago",
        125: "2 minutes ago",
        7300: "2 hours ago",
        90000: "1 day ago",
        300000: "3 days ago",
    }
    for seconds, text in said.items():
        assert age.age(made, start + datetime.timedelta(seconds=seconds)) == text
    assert age.age({}) == "at an unknown time"


def test_pins_come_first_and_leave_before_the_seal() -> None:
    wanted = locked.Locked((("bash", "amd64", "5.2-1"),))
    begin = list(locked.steps("base", [Refresh("apt")], "apt", wanted))
    assert [step.title for step in begin] == [
        "pin 1 packages to the versions of the lock",
        "refresh the package lists",
        "check the versions of the lock",
        "upgrade packages",
    ]
    assert "Pin: version 5.2-1\nPin-Priority: 1001" in str(begin[0].actions()).replace("\\n", "\n")
    later = list(
        locked.steps("cvmfs", [PackageLists("apt"), Packages("apt", frozenset("x"))], "apt", wanted)
    )
    assert [step.title for step in later][1] == "check the versions of the lock"
    [end] = locked.steps("seal", [], "apt", wanted)
    assert end.title == "compare the packages with the lock"


def test_dnf_sees_only_the_packages_of_the_lock() -> None:
    wanted = locked.Locked((("bash", "x86_64", "1:5.2-1"),))
    steps = list(
        locked.steps("base", [Refresh("dnf"), Packages("dnf", frozenset({"bash"}))], "dnf", wanted)
    )
    commands = [" ".join(action.argv) for step in steps[-2:] for action in step.actions()]  # type: ignore[union-attr]
    assert [" --setopt=includepkgs=bash-1:5.2-1.x86_64 " in one for one in commands] == [False, True, True]


def test_a_store_without_some_checkpoints() -> None:
    from bakery.store.store import Store
    from provisioner.plan import PlannedStep

    plan = Plan("b", "0", "osg", tuple(PlannedStep("r", "t", (), str(number)) for number in (1, 2, 3)))
    store = Store(Path("/x"), frozenset({"2"}))
    assert [done for done, _ in store.checkpoints_of(plan)] == [1]
