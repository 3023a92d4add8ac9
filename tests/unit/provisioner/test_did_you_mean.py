"""Suggestions for misspelled names: the rules, and their use by each command."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bakery.commands import bake, cache, diff, main, remote, verify
from bakery.commands import userdata as gen_userdata
from bakery.image import bases, recipe, repositories
from bakery.userdata import rendering
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.packages import repository_files
from provisioner.plan import Plan

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"
Main = Callable[[Sequence[str]], int]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("DEBIAN13", ("debian13",)),
        ("dry_run", ("dry-run",)),
        ("ubu", ("ubuntu22.04", "ubuntu24.04")),
        ("ubunut24.04", ("ubuntu24.04",)),
        ("cen", ("centos-stream10", "centos-stream9", "centos7")),
        ("fedora", ()),
        ("", ()),
        ("d", ()),
    ],
)
def test_the_most_similar_names_come_first(word: str, found: tuple[str, ...]) -> None:
    known = ("debian13", "dry-run", "ubuntu22.04", "ubuntu24.04", "centos7", "centos8")
    assert did_you_mean.similar(word, (*known, "centos-stream9", "centos-stream10")) == found


def test_the_question() -> None:
    assert did_you_mean.question(()) == ""
    assert did_you_mean.question(("a",)) == "Did you mean a?"
    assert did_you_mean.question(("a", "b", "c")) == "Did you mean a, b or c?"
    assert did_you_mean.hint(["rol", "xyz"], ["role"], "See --help.") == "Did you mean role? See --help."


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.mark.parametrize(
    ("main", "argv", "question"),
    [
        (bake.main, "--dryrun", "Did you mean --dry-run?"),
        (bake.main, "--bsae=debian13", "Did you mean --base?"),
        (bake.main, "--bsae x --engin y", "Did you mean --base? Did you mean --engine?"),
        (bake.main, "--worker prominance", "Did you mean prominence?"),
        (bake.main, "--with aptainer", "Did you mean apptainer?"),
        (bake.main, "--format qcow", "Did you mean qcow2?"),
        (main.main, "cache lst", "Did you mean list?"),
        (main.main, "cache prune --older 3", "Did you mean --older-than?"),
        (main.main, "bake --dryrun", "Did you mean --dry-run?"),
        (main.main, "shell image --verbos", ""),
        (cache.main, "list --verfy", "Did you mean --verify?"),
        (gen_userdata.main, "--anyone --token x --format scirpt", "Did you mean script?"),
        (gen_userdata.main, "--anyone --token x --allow expired-tokne", "Did you mean expired-token?"),
        (remote.main, "plan --sh root@x", "Did you mean --ssh?"),
        (diff.main, "a b --al", "Did you mean --all?"),
        (diff.main, "a b --everything", ""),
        (verify.main, "--levle boot", "Did you mean --level?"),
    ],
)
@pytest.mark.usefixtures("signals")
def test_each_command_makes_suggestions(
    main: Main, argv: str, question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if other options are missing; it follows the message of argparse."""
    with pytest.raises(SystemExit) as ended:
        main(argv.split())
    output = capsys.readouterr().err
    assert ended.value.code == 2
    assert output.count("Did you mean") == question.count("Did you mean")
    assert output.rstrip("\n").endswith(f". {question}" if question else "")


@pytest.mark.usefixtures("signals")
def test_suggestions_do_not_repeat_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bake.main([TOKEN, f"--bsae={TOKEN}"])
    output = capsys.readouterr().err
    assert "Did you mean --base?" in output and "c2lnbmF0dXJl" not in output


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize(
    ("argv", "question"),
    [
        ("--tokn-file x", "Did you mean --token-file?"),
        ("--set executdisk=x", "Did you mean ExecuteDisk?"),
        ("--set Strat=x", "Use --project, --owner or --start."),
        ("--cloud openstak", "Did you mean openstack?"),
    ],
)
def test_gen_userdata_makes_suggestions(
    argv: str, question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gen_userdata.main(["--anyone", "--token", TOKEN, *argv.split()]) == 2
    output = capsys.readouterr().err
    assert question in output and "c2lnbmF0dXJl" not in output


def refused(do: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        do()
    return str(caught.value)


def test_suggestions_for_names_other_than_options() -> None:
    urls = repositories.Replaced(urls={"condro": "http://mirror"}, keep=True)
    for do, expected in (
        (lambda: bases.find("debain13"), "debian13"),
        (lambda: bases.find("EL9"), "almalinux9, centos-stream9 or rocky9"),
        (lambda: bases.local(Path("x"), "debain"), "debian"),
        (lambda: recipe.plan(bases.find("debian13"), "osg", optional=("aptainer",)), "apptainer"),
        (lambda: rendering.WorkerConf(token="x", start="True", settings={"OnIdel": "stop"}), "OnIdle"),
        (lambda: rendering.render(rendering.WorkerConf(token="x", start="True"), "scirpt"), "script"),
        (lambda: repositories.of_base("el9", "9", urls), ""),
    ):
        assert f"Did you mean {expected}?" in refused(do) or not expected
    with pytest.raises(ValueError, match=r"\(did you mean amd64\?\)"):
        bases.architecture_named("amd46")


def test_suggestions_for_repository_ids() -> None:
    plan, files = Plan("b", "0", "osg", ()), {"/etc/yum.repos.d/a.repo": "[baseos]\n[appstream]\n"}
    output = refused(lambda: repository_files.check({"base_os": "http://mirror"}, plan, files))
    assert "Did you mean baseos?" in output
