"""The files of examples/nightly: the document shows them as they are; permissions, pins and reports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.nightly import results
from tests import documents
from tests.documents import ROOT

FOLDER = ROOT / "examples" / "nightly"
PAGE = ROOT / "docs" / "how-to" / "nightly.md"
GITHUB: dict[Any, Any] = yaml.safe_load((FOLDER / "github-actions.yml").read_text())
SHOWN = (
    "github-actions.yml",
    "gitlab-ci.yml",
    "worker-bakery-nightly.service",
    "worker-bakery-nightly.timer",
)


@pytest.mark.parametrize("name", SHOWN)
def test_the_document_shows_the_whole_file(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert [block for block in documents.blocks(PAGE.read_text()) if block.text == text], (
        f"{PAGE.name} does not contain examples/nightly/{name}"
    )


def test_the_document_names_every_file() -> None:
    page = PAGE.read_text()
    for path in FOLDER.iterdir():
        assert path.name in page or path.name == "__pycache__"


# --- workflow files ------------------------------------------------------------------------------


def test_each_job_has_only_the_permission_that_it_uses() -> None:
    assert GITHUB["permissions"] == {}
    permissions = {name: job["permissions"] for name, job in GITHUB["jobs"].items()}
    assert permissions == {"bake": {"contents": "read"}, "report": {"issues": "write"}}


def test_actions_are_pinned_to_the_same_commits_as_those_of_this_project() -> None:
    used = pins((FOLDER / "github-actions.yml").read_text())
    ours = pins((ROOT / ".github/workflows/ci.yml").read_text())
    for action, pin in used.items():
        assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), action
        assert ours.get("/".join(action.split("/")[:2]), pin) == pin, action
    assert len(used) > len(ours)


def pins(workflow: str) -> dict[str, str]:
    lines = re.findall(r"uses: (\S+)@(.+)$", workflow, re.MULTILINE)
    assert len(lines) == workflow.count("uses:")
    return dict(lines)


def test_no_expression_is_pasted_into_a_shell_script() -> None:
    scripts = [step["run"] for job in GITHUB["jobs"].values() for step in job["steps"] if "run" in step]
    assert len(scripts) >= 4
    assert not [script for script in scripts if "${{" in script]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("[!_]*")), ids=lambda path: path.name)
def test_no_file_names_a_registry_of_packages(path: Path) -> None:
    assert not re.search(r"pypi|pythonhosted|npmjs|deb\.debian|docker\.io|ghcr|quay", path.read_text())


# --- reports -------------------------------------------------------------------------------------

ERROR = {
    "event": "error",
    "class": "NotProven",
    "message": "The image failed these tests:\n  test_x: assert ```` == ''\n",
    "hint": "Add --keep-failed.",
    "where": "level boot: image tests over ssh",
    "log": "",
}


def test_a_report_names_the_level_the_check_and_the_logs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    (log / "events.log").write_text("".join(f"event {n}\n" for n in range(100)))
    (log / "serial.log").write_text("[ 1.0] Linux\n[ 2.0] Kernel panic\n")
    text = "\n".join(results.report("rocky9", {**ERROR, "log": str(log), "exit_code": 4}, ""))
    first, rest = text.split("\n", 1)
    assert first == "# rocky9: level boot failed: image tests over ssh"
    assert "- exit code: 4 (NotProven)\n- where: `level boot: image tests over ssh`\n" in rest
    assert "`````text\nThe image failed these tests:\n  test_x: assert ```` == ''\n`````\n" in rest
    assert rest.index("`serial.log`") < rest.index("Kernel panic") < rest.index("`events.log`")
    assert "event 40\n" in rest and "event 39\n" not in rest


@pytest.mark.parametrize(
    ("error", "title"),
    [
        ({"exit_code": 4}, "x: verification failed"),
        ({"exit_code": 4, "where": "start the pool"}, "x: verification failed: start the pool"),
        ({"exit_code": 5, "where": "build\nthe base"}, "x: failed with exit code 5: build the base"),
        ({"exit_code": 137}, "x: failed with exit code 137"),
    ],
)
def test_titles(error: dict[str, Any], title: str) -> None:
    assert results.title("x", error) == title


def run(tmp_path: Path, status: int, output: str, events: str) -> dict[str, str]:
    """The texts of the files below RESULTS, by path."""
    for name in ("new", "failed"):
        (tmp_path / "results" / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "output").write_text(output)
    (tmp_path / "events").write_text(events)
    argv = [
        str(tmp_path / "results"),
        "mine",
        str(status),
        str(tmp_path / "output"),
        str(tmp_path / "events"),
    ]
    assert results.main(argv) == 0
    files = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    return {path.relative_to(tmp_path / "results").as_posix(): path.read_text() for path in files}


def image(tmp_path: Path, label: str, *, from_store: bool) -> dict[str, Any]:
    path = tmp_path / f"{label}-1.qcow2"
    path.write_text(label)
    return {"label": label, "path": str(path), "from_store": from_store, "proof": {"offline": {}}}


def test_several_images_are_sorted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        image(tmp_path, "a", from_store=False),
        image(tmp_path, "b", from_store=True),
        {"label": "c", "error": {**ERROR, "exit_code": 4}},
    ]
    found = run(tmp_path, 4, json.dumps({"images": rows, "exit_code": 4}), "")
    assert set(found) == {"new/a.qcow2", "new/a.json", "failed/c.md"}
    assert found["new/a.qcow2"] == "a"
    assert json.loads(found["new/a.json"])["label"] == "a"
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["a: baked, proven: offline", "b: has no updates"]
    assert said[2].startswith("c: failed, see ")


def test_a_single_image_has_the_name_of_its_definition(tmp_path: Path) -> None:
    assert set(run(tmp_path, 0, json.dumps(image(tmp_path, "a", from_store=False)), "")) == {
        "new/mine.qcow2",
        "new/mine.json",
    }
    events = '{"event": "note", "text": "x"}\n' + json.dumps(ERROR) + "\n"
    assert run(tmp_path, 4, "", events)["failed/mine.md"].startswith("# mine: level boot failed: image ")


def test_a_command_that_was_killed_has_a_report_of_its_last_lines(tmp_path: Path) -> None:
    found = run(tmp_path, 137, "", '{"event": "begin", "name": "condor: install packages"}\n')
    assert found["failed/mine.md"].startswith("# mine: failed with exit code 137\n")
    assert "condor: install packages" in found["failed/mine.md"]


def test_a_long_message_is_cut_to_its_end() -> None:
    assert len(results.fenced("x" * 100_000 + "end")) < 13_000
    assert "end\n```" in results.fenced("x" * 100_000 + "end")
