"""The files of examples/fleet: systemd and Kubernetes accept them, and they call what there is."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from bakery.commands.fleet import command
from provisioner.process import run
from tests import documents
from tests.documents import ROOT
from tests.integration.tool_environments import environment

FOLDER = ROOT / "examples" / "fleet"
PAGE = ROOT / "docs" / "how-to" / "fleet.md"
CRON_JOB = FOLDER / "reap-cronjob.yaml"
SERVICE = FOLDER / "worker-bakery-reap.service"


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_the_document_shows_the_whole_file(path: Path) -> None:
    assert [block for block in documents.blocks(PAGE.read_text()) if block.text == path.read_text()]


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """systemd-analyze checks that programs exist; here the checkout is not in /srv."""
    units = sorted(FOLDER.glob("worker-bakery-reap.*"))
    assert len(units) == 2
    for unit in units:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/srv/worker-bakery", str(ROOT)))
    argv = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in units)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = tmp_path / SERVICE.name
    wrong.write_text(wrong.read_text().replace("bin/worker-bakery", "bin/gone"))
    assert subprocess.run([*argv[:2], str(wrong)], capture_output=True, check=False).returncode != 0


def test_kubernetes_accepts_the_cron_job(tmp_path: Path) -> None:
    program = str(
        environment("kubernetes-validate", ("kubernetes-validate==1.*",)) / "bin/kubernetes-validate"
    )
    run.call([program, "--strict", str(CRON_JOB)])
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(CRON_JOB.read_text().replace("concurrencyPolicy", "concurrency"))
    assert (
        subprocess.run([program, "--strict", str(wrong)], capture_output=True, check=False).returncode != 0
    )


def test_both_call_the_command_as_it_is() -> None:
    template = yaml.safe_load(CRON_JOB.read_text())["spec"]["jobTemplate"]["spec"]["template"]
    [container] = template["spec"]["containers"]
    line = next(row for row in SERVICE.read_text().splitlines() if row.startswith("ExecStart="))
    for words in (container["args"], shlex.split(line.partition("=")[2])):
        assert words[0].endswith("worker-bakery") and words[1] == "fleet"
        options = command.parser("worker-bakery fleet").parse_args(words[2:])
        assert options.verb == "reap" and options.yes and not options.force
