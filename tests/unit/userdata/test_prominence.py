"""gen-userdata --worker prominence: its variables, errors and output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bakery.commands.userdata import main
from bakery.tokens import signing
from bakery.userdata import guest
from bakery.userdata.rendering import extract_conf

TOKEN = signing.mint(
    bytes(64),
    "POOL",
    issuer="pool.example",
    subject="worker@cloud",
    scopes=["ADVERTISE_STARTD", "ADVERTISE_MASTER"],
    lifetime=90 * 86400,
)
REQUIRED = ("--cloud", 'my "cloud"', "--region", "r", "--node-group", "g", "--collector", "pool.example")
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def argv(tmp_path: Path) -> list[str]:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return ["--worker", "prominence", "--token-file", str(path)]


@pytest.mark.parametrize("form", ["script", "cloud-config", "mime", "conf"])
def test_the_worker_reads_the_given_values(form: str, argv: list[str], capsys: Captured) -> None:
    more = ["--schedd-name", "s", "--job-id", "a-1", "--idle-timeout", "600", "--format", form]
    assert main([*argv, *REQUIRED, *more, "--set", "PROMINENCE_METADATA_GUARD=no"]) == 0
    output = capsys.readouterr()
    read = guest.read(extract_conf(output.out).encode(), "prominence")
    assert (read.problems, read.warnings) == ((), ())
    named = (
        "Cloud",
        "Region",
        "NodeGroup",
        "CentralManager",
        "ScheddName",
        "JobId",
        "IdleTimeout",
        "Token",
    )
    assert [read.values[name] for name in named] == [
        *('my "cloud"', "r", "g", "pool.example", "s", "a-1", "600", TOKEN)
    ]
    assert read.values["MetadataGuard"] == "no"
    assert "note: The worker runs only the job a-1, and parallel jobs of the schedd s." in output.err
    assert "powers off after 10 min without a job" in output.err
    assert """-const 'ProminenceCloud == "my \\"cloud\\"" && ProminenceRegion == "r" &&""" in output.err


def test_without_a_timeout_the_worker_does_not_shut_down(argv: list[str], capsys: Captured) -> None:
    assert main([*argv, *REQUIRED]) == 0
    output = capsys.readouterr().err
    assert "note: The worker runs the jobs that the pool assigns to it." in output
    assert "and does not shut down when it has no job." in output


@pytest.mark.parametrize(
    ("more", "output"),
    [
        (["--cloud", "c"], "--worker prominence requires --region, --node-group, --collector."),
        ([*REQUIRED, "--project", "TG-A"], "does not support --project, --owner, --start and --anyone"),
        ([*REQUIRED, "--group-name", "x"], "does not support WorkerGroupName"),
        (
            [*REQUIRED, "--idle-timeout", "9", "--idle-minutes", "9"],
            "--idle-timeout sets IdleTimeout, which another option also sets",
        ),
        ([*REQUIRED, "--job-id", '" || True'], 'PROMINENCE_JOB_ID contains a " or a backslash'),
        ([*REQUIRED, "--set", "PROMINENCE_CLOUD=x"], "Use --cloud."),
        ([*REQUIRED, "--region", "a\nb"], "PROMINENCE_REGION has a line break"),
    ],
)
def test_invalid_options(more: list[str], output: str, argv: list[str], capsys: Captured) -> None:
    assert main([*argv, *more]) == 2
    assert output in capsys.readouterr().err


def test_options_of_the_other_kind(capsys: Captured) -> None:
    assert main(["--project", "TG-A", "--token", TOKEN, "--region", "r"]) == 2
    assert "--region requires --worker prominence" in capsys.readouterr().err
    assert main(["--project", "TG-A", "--token", TOKEN, "--cloud", "nimbus"]) == 2
    assert "--cloud: there is no cloud 'nimbus'" in capsys.readouterr().err


def test_the_limits_of_a_known_cloud(argv: list[str], tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "own.sh").write_text("#!/bin/sh\n" + "# much\n" * 4000)
    at_ec2 = [*argv, *REQUIRED, "--cloud", "ec2", "--include", str(tmp_path / "own.sh")]
    assert main(at_ec2) == 2
    assert "16384" in capsys.readouterr().err


def test_a_batch(argv: list[str], tmp_path: Path, capsys: Captured) -> None:
    table = tmp_path / "workers.csv"
    table.write_text(
        "file,cloud,region,node_group,pool,job_id\na,c,r,g,pool.example,1\nb,c,r,g,pool.example,\n"
    )
    assert (
        main([*argv, "--batch", str(table), "-o", str(tmp_path / "out"), "--format", "conf", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["written"] == 2
    read = [guest.read((tmp_path / "out" / name).read_bytes(), "prominence") for name in "ab"]
    assert [(one.problems, one.values["JobId"]) for one in read] == [((), "1"), ((), "")]


@pytest.mark.parametrize("form", ["cloud-config", "mime", "conf"])
def test_check_accepts_generated_user_data_and_reports_errors(
    form: str, argv: list[str], tmp_path: Path, capsys: Captured
) -> None:
    assert main([*argv, *REQUIRED, "--format", form, "-q", "--schedd-name", "s"]) == 0
    made = capsys.readouterr().out
    path = tmp_path / "user-data"
    path.write_text(made)
    assert (main(["--check", str(path)]), capsys.readouterr().out) == (0, "")
    if form == "mime":
        return
    path.write_text(
        made.replace("PROMINENCE_REGION=r", "PROMINENCE_REGON=$r").replace("SCHEDD_NAME=s", "X=s")
    )
    assert main(["--check", str(path)]) == 2
    output = capsys.readouterr().out
    assert "can be read in two ways. Write one Key = value per line. (broken-line)" in output
    assert "PROMINENCE_REGION is missing. Generate it again" in output
    assert "unknown key, ignored: PROMINENCE_X." in output
