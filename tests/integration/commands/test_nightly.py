"""The files of examples/nightly at work: the script bakes, proves and reports; the others are valid."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from bakery.bake import lookup
from bakery.bake.options import Options
from bakery.commands.command_line import entry
from bakery.image import recipe
from bakery.store.store import Store, manifest_path
from provisioner.events import JsonLines
from tests.conftest import BASE, Ended
from tests.documents import ROOT
from tests.integration.bake.test_bake import dirty

FOLDER = ROOT / "examples" / "nightly"
SCRIPT = FOLDER / "bake-outdated.sh"
GITHUB = yaml.safe_load((FOLDER / "github-actions.yml").read_text())
GITLAB = yaml.safe_load((FOLDER / "gitlab-ci.yml").read_text())
# Part of a token: it must not be in a report.
CANARY = "zdWIiOiJjYW5hcnktb2YtdGVzdHMifQ"


def run(argv: Sequence[object], **env: str) -> Ended:
    done = subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, check=False, env={**os.environ, **env}
    )
    return Ended(done.returncode, done.stdout, done.stderr)


# --- the script --------------------------------------------------------------------------------------

# An image test fails, and the log has a token, which the bake puts together.
FAILS = f"""
[[commands]]
title = "print a token"
text = '''#!/bin/sh
systemctl -q enable condor.service
printf '%s.%s.%s\\n' eyJhbGciOiJIUzI1NiJ9 {CANARY} c2lnbmF0dXJl
'''
"""


def test_the_script_bakes_what_is_outdated_keeps_it_and_reports_what_fails(
    baked: dict[str, Any], tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    # A version that no image of the cache has.
    version = f"1.{secrets.randbelow(10**9)}"
    (images / "good.toml").write_text(f'base = "{BASE.name}"\nname = "good"\nversion = "{version}"\n')
    results = tmp_path / "results"
    made: list[Path] = []
    try:
        first = nightly(results, images)
        assert first.status == 0, first.out + first.err
        assert "good: baked, proven: offline" in first.out
        kept = json.loads((results / "new/good.json").read_text())
        made.append(Path(kept["path"]))
        assert (results / "new/good.qcow2").stat().st_size == kept["size"]
        assert list((results / "failed").iterdir()) == []

        shutil.rmtree(results / "new")
        second = nightly(results, images)
        assert (second.status, "good: has no updates" in second.out) == (0, True), second.out + second.err
        assert list((results / "new").iterdir()) == []

        bad = f'base = "{BASE.name}"\nname = "bad"\nversion = "{version}"\n{FAILS}'
        (images / "bad.toml").write_text(bad)
        third = nightly(results, images)
        assert third.status == 4, third.out + third.err
        report = (results / "failed/bad.md").read_text()
        assert report.startswith("# bad: level offline failed: ")
        assert "test_condor_does_not_start_at_boot" in report
        log = report.split("The last lines of `events.log`")[1]
        assert "[token]" in log
        assert CANARY not in report
        assert [path.name for path in (results / "failed").iterdir()] == ["bad.md"]
        assert list((results / "new").iterdir()) == []
    finally:
        for image in made:
            image.unlink(missing_ok=True)
            manifest_path(image).unlink(missing_ok=True)


def nightly(results: Path, *files: Path) -> Ended:
    return run([SCRIPT, *files], RESULTS=str(results), LEVEL="offline")


def test_the_script_reports_a_definition_that_is_not_there(tmp_path: Path) -> None:
    done = nightly(tmp_path / "results", tmp_path / "gone.toml")
    assert done.status == 2, done.out + done.err
    report = (tmp_path / "results/failed/gone.md").read_text()
    assert report.startswith("# gone: failed with exit code 2\n")
    assert "gone.toml" in report


def test_the_script_needs_a_definition_file(tmp_path: Path) -> None:
    without: tuple[list[Path], ...] = ([], [tmp_path])
    for folders in without:
        done = run([SCRIPT, *folders], RESULTS=str(tmp_path / "results"))
        assert (done.status, "usage: bake-outdated.sh FILE.toml|FOLDER" in done.err) == (2, True)
    assert not (tmp_path / "results").exists()


# A fourth bake: the script above makes such a report of another failure.
@pytest.mark.full
def test_a_real_failure_becomes_a_report_without_the_token(
    baked: dict[str, Any], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that still holds a token and a host key after its seal; all else as the command does it."""
    monkeypatch.setitem(recipe.ROLES, "osg", (*recipe.ROLES["osg"], ("dirt", dirty)))
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def bake() -> int:
        lookup.bake(Options(level="offline"), store, JsonLines())
        return 0

    with (tmp_path / "events").open("w") as events:
        monkeypatch.setattr("sys.stderr", events)
        status = entry.run(bake, ["--json"])
    monkeypatch.undo()
    (tmp_path / "output").touch()
    (tmp_path / "results/failed").mkdir(parents=True)
    argv = [
        FOLDER / "results.py", tmp_path / "results", "dirty", str(status), tmp_path / "output",
        tmp_path / "events",
    ]  # fmt: skip
    done = run(argv)
    assert (status, done.status) == (4, 0), done.err
    report = (tmp_path / "results/failed/dirty.md").read_text()
    failed = "no secret; image tests on the mounted root"
    assert report.startswith(f"# dirty: level offline failed: {failed}\n")
    assert "- exit code: 4 (NotProven)" in report
    assert "/etc/osg-worker.conf" in report and "ssh host keys in" in report
    assert "The last lines of `events.log`" in report
    assert "error: The image contains secrets" in report.split("`events.log`")[1]
    assert "c2lnbmF0dXJl" not in report and "zdWIiOiJhQGIifQ" not in report


# --- what the files contain ----------------------------------------------------------------------------


def scripts() -> Iterator[tuple[str, str]]:
    """The shell scripts in the workflow files, with names for the tests."""
    for name, job in GITHUB["jobs"].items():
        for number, step in enumerate(step for step in job["steps"] if "run" in step):
            yield f"github-{name}-{number}", step["run"]
    for name in ("bake", "report"):
        job = GITLAB[name]
        yield f"gitlab-{name}", "\n".join([*job["before_script"], *job["script"]])


@pytest.mark.parametrize(("name", "script"), [pytest.param(*one, id=one[0]) for one in scripts()])
def test_shellcheck_accepts_the_shell_in_the_workflow_files(name: str, script: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"#!/bin/bash\nset -eo pipefail\n{script}\n")
    done = run(["shellcheck", tmp_path / name])
    assert done.status == 0, done.out


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """systemd-analyze checks that programs exist; here the checkout is not in /srv."""
    units = sorted(FOLDER.glob("worker-bakery-nightly.*"))
    assert len(units) == 2
    for unit in units:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/srv/worker-bakery", str(ROOT)))
    done = run(["systemd-analyze", "verify", *(tmp_path / unit.name for unit in units)])
    assert (done.status, done.err) == (0, "")
    service = tmp_path / units[0].name
    service.write_text(service.read_text().replace(SCRIPT.name, "gone.sh"))
    assert run(["systemd-analyze", "verify", service]).status != 0


@dataclass
class GitLab:
    """The two requests of GitLab's API that the report makes. `opened` are the titles of open issues."""

    opened: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    created: list[dict[str, list[str]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def gitlab_on_loopback() -> Iterator[GitLab]:
    state = GitLab()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            wanted = parse_qs(query)
            assert (path, wanted["state"], wanted["in"]) == (
                "/api/v4/projects/7/issues", ["opened"], ["title"]
            )  # fmt: skip
            found = [{"title": title} for title in state.opened if title == wanted["search"][0]]
            self.answer(200, found)

        def do_POST(self) -> None:
            state.created.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.answer(201, {"iid": 1})

        def answer(self, status: int, found: object) -> None:
            state.tokens.append(self.headers["PRIVATE-TOKEN"])
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_port}/api/v4"
        try:
            yield state
        finally:
            server.shutdown()


def test_gitlab_gets_an_issue_for_each_report_unless_one_is_open(tmp_path: Path) -> None:
    """The script of the job `report`, with the real curl."""
    failed = tmp_path / "nightly" / "failed"
    failed.mkdir(parents=True)
    (failed / "a.md").write_text('# a: level boot failed: $(id) "&x=1\n\nThe text & more\n')
    (failed / "b.md").write_text("# b: failed with exit code 5\n\nAgain\n")
    token, (script,) = f"glpat-{CANARY}", GITLAB["report"]["script"]
    with gitlab_on_loopback() as gitlab:
        gitlab.opened = ["b: failed with exit code 5"]
        env = {
            "CI_API_V4_URL": gitlab.url,
            "CI_PROJECT_ID": "7",
            "ISSUE_TOKEN": token,
            "no_proxy": "127.0.0.1",
        }
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", script],
            cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert gitlab.created == [
        {"title": ['a: level boot failed: $(id) "&x=1'], "description": ["\nThe text & more\n"]}
    ]
    assert gitlab.tokens == [token] * 3
    # With -x, bash prints the arguments of each command: curl has no token among them.
    assert not [line for line in done.stderr.splitlines() if "curl" in line and token in line]
    assert "+ curl" in done.stderr
