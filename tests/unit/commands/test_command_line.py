"""What all commands share: errors, exit codes, --help, and the program that calls them."""

from __future__ import annotations

import argparse
import io
import json
import shlex
import signal
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bakery.bake.options import Options
from bakery.bake.planned import Baked
from bakery.commands import bake, bake_options, main, remote, userdata, verify
from bakery.commands.command_line import entry, manual, program
from bakery.commands.command_line.parser import Parser, number, positive_number, whole_number
from bakery.userdata.lint import names as lint_names
from bakery.userdata.request import NAMES
from provisioner import errors

Captured = pytest.CaptureFixture[str]
COMMANDS = [
    (bake.main, ["--base", "no-such-base", "--dry-run"]),
    (userdata.main, ["--worker-token-file", "/run/token"]),
    (remote.main, ["/no/such/plan", "--ssh", "root@localhost"]),
]


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.mark.parametrize(("main", "argv"), COMMANDS)
def test_an_error_is_a_paragraph_or_an_event(
    main: Callable[[Sequence[str]], int], argv: list[str], capsys: Captured
) -> None:
    code = main(argv)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert main([*argv, "--json"]) == code
    told = capsys.readouterr()
    again = errors.from_event(json.loads(told.err))
    assert told.out == ""
    assert (again.exit_code, f"error: {again}\n") == (code, said.err)


# --- the program -------------------------------------------------------------------------------


def test_what_the_encoding_of_stdout_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))

    def body() -> int:
        print("My é → workers")
        return 0

    assert entry.run(body, []) == 0
    assert written.getvalue() == b"My \\xe9 \\u2192 workers\n"


def test_a_command_is_called_by_its_name(capsys: Captured) -> None:
    assert main.main(["bake", "--list-roles", "--json"]) == 0
    alone = capsys.readouterr().out
    assert bake.main(["--list-roles", "--json"]) == 0
    assert capsys.readouterr().out == alone


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["verfy", "x"], "There is no command 'verfy'. Did you mean verify? See worker-bakery --help."),
        (["provision", "apply"], "Use worker-bakery apply."),
        (["verify-image"], "Use worker-bakery verify."),
        (["image-diff"], "Use worker-bakery diff."),
        (
            ["bake", "cache", "list"],
            "worker-bakery bake cache was removed in 0.2.0. Use worker-bakery cache.",
        ),
        (["bake", "shel"], "Did you mean worker-bakery shell?"),
    ],
)
def test_an_unknown_command_is_2_and_names_the_right_one(
    argv: list[str], says: str, capsys: Captured
) -> None:
    assert main.main(argv) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["cache", "shell"])
def test_the_removed_verbs_of_bake_image_name_their_successors(verb: str, capsys: Captured) -> None:
    assert bake.main([verb, "x"]) == 2
    said = capsys.readouterr().err
    assert said == f"error: bake-image {verb} was removed in 0.2.0. Use worker-bakery {verb}.\n"


def test_without_a_command_the_help_is_shown(capsys: Captured) -> None:
    assert main.main([]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("usage: worker-bakery COMMAND [options]\n")
    assert all(f"\n  {name} " in shown for name in program.COMMANDS)
    with pytest.raises(SystemExit) as ended:
        main.main(["help", "verify"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: worker-bakery verify ")
    with pytest.raises(SystemExit) as ended:
        main.main(["--version"])
    assert ended.value.code == 0
    with pytest.raises(SystemExit) as ended:
        main.main(["--nonsense"])
    assert ended.value.code == 2


def test_a_command_names_itself_as_it_was_called(capsys: Captured) -> None:
    calls: list[tuple[Callable[[Sequence[str]], int], str, str]] = [
        (bake.main, "--nonsense", "bake-image"),
        (main.main, "bake --nonsense", "worker-bakery bake"),
        (userdata.main, "--format x", "gen-userdata"),
        (main.main, "remove", "worker-bakery remove"),
        (main.main, "cache list --nonsense", "worker-bakery cache"),
    ]
    for call, argv, prog in calls:
        with pytest.raises(SystemExit) as ended:
            call(argv.split())
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith(f"usage: {prog}") and f"\n{prog}" in said


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("cache", "the following arguments are required: COMMAND"),
        ("cache lst", "argument COMMAND: invalid choice: 'lst'"),
        ("cache prune --older-than much", "argument --older-than: 'much' is not a number"),
        ("cache prune --max-size=-1", "argument --max-size: '-1' must be a finite number and not negative"),
        ("verify w.qcow2 --boot-seconds 1.5", "argument --boot-seconds: '1.5' is not a whole number"),
        ("verify w.qcow2 --idle-seconds=-1", "argument --idle-seconds: '-1' must not be negative"),
        ("bake --jobs 0", "argument --jobs: '0' must be at least 1"),
        ("bake --jobs=-2", "argument --jobs: '-2' must not be negative"),
        ("bake --jobs many", "argument --jobs: 'many' is not a whole number"),
        ("bake --cvmfs-quota 4G", "argument --cvmfs-quota: '4G' is not a whole number"),
    ],
)
def test_a_message_about_an_argument_has_the_words_of_its_help(
    argv: str, says: str, capsys: Captured
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(argv.split())
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


# --- --help ------------------------------------------------------------------------------------


def parsers() -> list[argparse.ArgumentParser]:
    nested = [parser for made in program.subcommands() for parser in (made, *verbs_of(made))]
    return [program.overview(), *nested, *program.standalone()]


def verbs_of(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [verb for action in actions for verb in action.choices.values()]


@pytest.mark.parametrize("parser", parsers(), ids=lambda parser: parser.prog)
def test_help_fits_80_columns_and_ends_with_examples(
    parser: Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = parser.format_help()
    assert [row for row in shown.splitlines() if len(row) > 80] == []
    usage, _, rest = shown.partition("\n")
    assert usage.startswith(f"usage: {parser.prog} ")
    assert rest.startswith("\n"), "the usage is one line"
    assert 1 < len(parser.examples) < 4
    assert shown.endswith("\n  ".join(("examples:", *parser.examples)) + "\n")


@pytest.mark.parametrize("parser", parsers(), ids=lambda parser: parser.prog)
def test_what_people_need_first_is_at_most_ten_options(parser: Parser) -> None:
    first = parser._optionals
    assert len(first._group_actions) <= 10
    assert {action.dest for action in first._group_actions} & {"help", "json", "verbose"} == set()
    assert all(action.help for action in parser._actions if action.dest != "verb")
    assert not [action.dest for action in parser._actions if (action.help or "").endswith(".")]


@pytest.mark.parametrize("parser", parsers(), ids=lambda parser: parser.prog)
def test_the_examples_are_understood_by_the_parsers(parser: Parser, tmp_path: Path) -> None:
    for example in parser.examples:
        words = [word for word in shlex.split(example.partition("|")[0]) if not word.startswith(">")]
        name = words[0]
        if name == "worker-bakery":
            assert program.module(words[1]).parser(" ".join(words[:2])).parse_args(words[2:])
        elif name in program.STANDALONE:
            assert program.module(program.STANDALONE[name]).parser(name).parse_args(words[1:])
        else:
            assert name in ("eval", "echo") or "=" in name, example


@pytest.mark.parametrize("parser", parsers(), ids=lambda parser: parser.prog)
def test_no_message_shows_a_name_of_the_source_code(parser: Parser) -> None:
    """argparse prints the name of a type function, and that of an argument without a metavar."""
    for action in parser._actions:
        assert action.type in (None, Path, number, positive_number, whole_number), action.dest
        assert action.option_strings or action.metavar, action.dest


def test_every_command_has_a_summary_a_page_and_the_same_options_under_both_names() -> None:
    assert [parser.prog for parser in program.subcommands()] == [
        f"worker-bakery {name}" for name in program.COMMANDS
    ]
    for parser in program.standalone():
        twin = program.module(program.STANDALONE[parser.prog]).parser("worker-bakery x")
        assert [action.option_strings for action in parser._actions] == [
            action.option_strings for action in twin._actions
        ]


def test_the_exit_codes_of_the_manual_are_those_of_the_errors() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {getattr(kind, "exit_code", None) for kind in classes if kind is not errors.Interrupted}
    assert set(manual.EXIT_CODES) == {code for code in codes if code} | {0, 130}


def test_findings_are_listed_by_name(capsys: Captured) -> None:
    assert userdata.main(["--list-findings", "--json"]) == 0
    listed = {row["name"]: row["checked"] for row in json.loads(capsys.readouterr().out)["findings"]}
    assert set(listed) == {*NAMES, *lint_names.NAMES}
    assert (listed["expired-token"], listed["crlf"]) == ("always", "with --check")
    assert userdata.main(["--list-findings"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(listed)


# --- what comes next ---------------------------------------------------------------------------


def suggested(err: str) -> list[str]:
    """The words that a shell makes of the printed command."""
    [line] = [row for row in err.splitlines() if row.startswith("Next: ")]
    return shlex.split(line.removeprefix("Next: "), comments=True)


@pytest.mark.parametrize(
    ("argv", "levels", "expected"),
    [
        ([], ["offline"], ["worker-bakery", "verify", "/x/my image.qcow2"]),
        (
            ["--base", "rocky9", "--arch", "x86_64"],
            ["offline", "boot"],
            ["worker-bakery", "verify", "/x/my image.qcow2", "--login", "rocky"],
        ),
        (
            ["--base", "debian12", "--arch", "arm64"],
            ["offline"],
            ["worker-bakery", "verify", "/x/my image.qcow2", "--firmware", "efi"],
        ),
        (
            [],
            ["offline", "boot", "pool"],
            shlex.split(
                "openstack image create --disk-format qcow2 --container-format bare"
                " --file '/x/my image.qcow2' 'my image'"
            ),
        ),
    ],
)
def test_after_a_bake(argv: list[str], levels: list[str], expected: list[str], capsys: Captured) -> None:
    baked = Baked(Path("/x/my image.qcow2"), {"proof": {level: {} for level in levels}}, from_store=True)
    bake._suggest(bake_options.options(bake.parser().parse_args(argv)), baked)
    assert suggested(capsys.readouterr().err) == expected
    if expected[1] == "verify":
        assert verify.parser("worker-bakery verify").parse_args(expected[2:]).level == "pool"


@pytest.mark.parametrize(
    ("path", "expected"), [("/x/w.tar", "podman load -i /x/w.tar"), ("/x/w", "podman pull oci:/x/w")]
)
def test_after_a_bake_of_a_container_image(path: str, expected: str, capsys: Captured) -> None:
    baked = Baked(Path(path), {"proof": {"offline": {}}}, from_store=True)
    bake._suggest(Options(format="oci"), baked)
    assert suggested(capsys.readouterr().err) == expected.split()


def test_after_a_verification(capsys: Captured) -> None:
    parse = verify.parser("worker-bakery verify").parse_args
    verify._suggest(parse(["w.qcow2", "--level", "boot", "--login", "rocky"]), "worker-bakery verify")
    again = suggested(capsys.readouterr().err)
    assert vars(parse(again[2:])) == vars(parse(["w.qcow2", "--login", "rocky"]))
    verify._suggest(parse(["w.qcow2"]), "worker-bakery verify")
    assert suggested(capsys.readouterr().err)[:3] == ["openstack", "image", "create"]
    for silent in ("-q", "--json"):
        verify._suggest(parse(["w.qcow2", silent]), "worker-bakery verify")
        assert capsys.readouterr().err == ""


def test_the_next_verification_repeats_only_options_without_their_default(capsys: Captured) -> None:
    parse = verify.parser("worker-bakery verify").parse_args
    for more in ([], ["--firmware", "efi"], ["--boot-seconds", "600", "--pool-shape", "ospool"]):
        verify._suggest(parse(["w.qcow2", "--level", "offline", *more]), "worker-bakery verify")
        words = suggested(capsys.readouterr().err)
        assert words[:3] == ["worker-bakery", "verify", "w.qcow2"]
        assert len(words) == 3 + len(more)
        assert vars(parse(words[2:])) == vars(parse(["w.qcow2", *more]))


@pytest.mark.parametrize("name", ["w.tar", "my image"])
def test_a_verified_container_image_is_loaded_not_booted(
    name: str, tmp_path: Path, capsys: Captured
) -> None:
    with tarfile.open(tmp_path / name, "w") as archive:
        archive.addfile(tarfile.TarInfo("oci-layout"))
    options = verify.parser("worker-bakery verify").parse_args([str(tmp_path / name), "--level", "offline"])
    verify._suggest(options, "worker-bakery verify")
    assert suggested(capsys.readouterr().err) == ["podman", "load", "-i", str(tmp_path / name)]


def test_after_a_plan_was_applied(capsys: Captured) -> None:
    parse = remote.parser("worker-bakery apply").parse_args
    remote._suggest(parse(["plan", "--ssh", "me@w.example:2222", "--key", "/k e y"]))
    assert suggested(capsys.readouterr().err) == shlex.split(
        "ssh -p 2222 -i '/k e y' me@w.example sudo reboot"
    )
    remote._suggest(parse(["plan", "--ssh", "root@w.example", "-q"]))
    assert capsys.readouterr().err == ""


def test_no_token_is_in_what_comes_next(capsys: Captured) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"
    entry.suggest(f"echo {token}", "never", silent=False)
    assert "c2lnbmF0dXJl" not in capsys.readouterr().err


def test_nothing_below_imports_the_commands() -> None:
    root = Path(__file__).parent.parent.parent.parent
    sources = [path for top in ("bakery", "provisioner") for path in (root / top).rglob("*.py")]
    below = [path for path in sources if root / "bakery" / "commands" not in path.parents]
    assert len(below) > 100
    assert [path for path in below if "bakery.commands" in path.read_text()] == []
