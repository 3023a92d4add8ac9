"""The parser of the worker's file: what it accepts, what it rejects, and what it never quotes."""

from __future__ import annotations

import pytest
from worker_runtime.configuration.worker_file import WorkerConfig, parse

from tests.unit.worker.conftest import KEYS, PROMINENCE

TOKEN = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJjYW5hcnkifQ.CANARYcanary-_"
GOOD = f"Token = {TOKEN}\nStart = True\n"


def read(text: str | bytes) -> WorkerConfig:
    return parse(text if isinstance(text, bytes) else text.encode(), KEYS, "conf")


def test_the_seeds_own_example() -> None:
    conf = read(f'WorkerGroupName = My Test Workers\nToken = {TOKEN}\nStart = A == "TG-ABC123"\n')
    assert conf.problems == () and conf.warnings == ()
    assert conf.values["WorkerGroupName"] == "My Test Workers"
    assert conf.values["Token"] == TOKEN
    assert conf.values["Start"] == 'A == "TG-ABC123"'


def test_keys_not_given_take_the_tables_defaults() -> None:
    values = read(GOOD).values
    assert values == {
        **{key.name: key.default for key in KEYS},
        "Token": TOKEN,
        "Start": "True",
    }


@pytest.mark.parametrize(
    "text",
    [
        f"Token={TOKEN}\nStart=True",
        f"  Token\t=\t{TOKEN}  \n\n# Start = False\nStart   =True\t\n",
        f"Token = {TOKEN}\r\nStart = True\r\n",
        f"\ufeffToken = {TOKEN}\nStart = True\n",
        f"TOKEN = {TOKEN}\nSTART = True\n",
    ],
    ids=["no blanks", "any blanks", "CRLF", "byte order mark", "legacy names"],
)
def test_spellings_that_mean_the_same(text: str) -> None:
    conf = read(text)
    assert (conf.problems, conf.warnings) == ((), ())
    assert (conf.values["Token"], conf.values["Start"]) == (TOKEN, "True")


def test_only_the_first_equals_sign_separates() -> None:
    assert read(f"Token={TOKEN}\nStart=A=?=1").values["Start"] == "A=?=1"


def test_the_last_one_wins_and_is_warned_of() -> None:
    conf = read(f"Start = 1\n{GOOD}")
    assert conf.values["Start"] == "True"
    assert conf.warnings == ("line 3: Start again; the last one counts",)


def test_unknown_and_variant_keys_are_named() -> None:
    conf = read(f"{GOOD}Colour = red\nworkergroupname = x\n")
    assert conf.values["WorkerGroupName"] == "x"
    assert conf.warnings == (
        "line 3: unknown key, ignored: Colour",
        "line 4: workergroupname is read as WorkerGroupName",
    )


def test_all_problems_at_once() -> None:
    conf = read("Start =\nCentralManager = a b\nIdleTimeout = soon\nwhat is this\n")
    assert conf.problems == (
        "line 4: not of the form Key = value",
        "Token is missing",
        "Start is empty",
        "CentralManager is not of the form HOST or HOST:PORT, or several of them with commas",
        "IdleTimeout is not a whole number of seconds between 0 and 31622400",
    )


@pytest.mark.parametrize(
    "text",
    [
        f"Token = {TOKEN} x\nStart = True",
        f'Token = "{TOKEN}"\nStart = True',
        f"Token = {TOKEN}\u00e9\nStart = True",
        f"{TOKEN}\nStart = True",
        f"{TOKEN}=\nStart = True",
        f"{TOKEN[:20]}=\nStart = True\nStart = True ) || ( {TOKEN}",
        f"Tokn = {TOKEN}\nStart = {TOKEN};",
    ],
)
def test_a_token_is_never_repeated(text: str) -> None:
    conf = read(text)
    assert conf.problems
    assert "CANARY" not in " ".join(conf.problems + conf.warnings)
    assert "eyJhbGciOiJIUzI1NiIsImtpZCI6" not in " ".join(conf.problems + conf.warnings)


@pytest.mark.parametrize("character", ["\t", "\v", "\f", "\x00", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_character_makes_a_second_line_of_a_value(character: str) -> None:
    conf = read(f"{GOOD}WorkerGroupName = a{character}include command : id\n")
    assert conf.problems == ("WorkerGroupName contains a control character (a tab, perhaps)",)


@pytest.mark.parametrize("text", ["$$(X)", "a$$", "$(DOLLAR)(X)", "$(dollar)"])
def test_dollars_that_htcondor_cannot_hold_are_refused(text: str) -> None:
    said = "contains $$ or $(DOLLAR), which HTCondor's configuration cannot represent"
    assert read(f"{GOOD}WorkerGroupName = {text}").problems == (f"WorkerGroupName {said}",)


def test_a_carriage_return_within_a_value_is_refused() -> None:
    assert read(f"{GOOD}WorkerGroupName = a\rb\n").problems


def test_what_is_not_text_is_refused_by_line() -> None:
    assert read(GOOD.encode() + b"WorkerGroupName = \xff\n").problems == ("line 3: not UTF-8 text",)


@pytest.mark.parametrize(
    "host",
    ["cm.example.org", "cm.example.org:9618", "127.0.0.1", "[::1]:9618", "cm_1", "cm.", "cm,other",
     "cm, b:1", "cm:9618?sock=collector3", "cm?sock=collector1-10,b?sock=broker_1.x"],
)  # fmt: skip
def test_hosts(host: str) -> None:
    assert read(f"{GOOD}CentralManager = {host}").problems == ()


@pytest.mark.parametrize(
    "host",
    ["cm.example.org:0", "cm:99999", "cm:", "-cm", "cm,", ",cm", "cm;other", "$(X)", "<1.2.3.4:9618>",
     "a" * 256, "cm,b:0", "cm?sock=", "cm?sock=$(X)", "cm?sock=a&b", "cm?sock=collector10-1", "cm?x=a"],
)  # fmt: skip
def test_no_hosts(host: str) -> None:
    assert len(read(f"{GOOD}CentralManager = {host}").problems) == 1


@pytest.mark.parametrize("seconds", ["-1", "1.5", "\u0661", "99999999", "20 min", "0x10"])
def test_no_seconds(seconds: str) -> None:
    assert len(read(f"{GOOD}IdleTimeout = {seconds}").problems) == 1


def told(text: str) -> WorkerConfig:
    """A PROMINENCE worker's file."""
    return parse(text.encode(), PROMINENCE.keys, PROMINENCE.form)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("x y", "x y"),
        ("'$(x) \"y\" \\ `'", '$(x) "y" \\ `'), ('"it\'s \\$5 \\" \\\\ \\`"', "it's $5 \" \\ `"),
        ("''", ""), ("é#1", "é#1"), ("  a  ", "a"),
    ],
)  # fmt: skip
def test_values_as_a_shell_reads_them(written: str, value: str) -> None:
    for text in (f"PROMINENCE_CLOUD={written}", f"export  PROMINENCE_CLOUD={written}\r"):
        conf = told(text)
        assert not any("line" in problem for problem in conf.problems)
        assert conf.values["Cloud"] == value


@pytest.mark.parametrize(
    "written", ["a'b", '"a', "$HOME", '"$HOME"', '"`id`"', "a\\b", '"a\\b"', "'a'b", "'it'\\''s'", "a # b"]
)
def test_what_readers_would_differ_about_is_refused(written: str) -> None:
    said = "line 1: a quotation mark, \\, $ or # that can be read in two ways"
    assert said in told(f"PROMINENCE_CLOUD={written}").problems
