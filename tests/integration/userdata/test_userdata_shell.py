# ruff: noqa: E501 - the parts of scripts are a table
"""What the check derives from a script agrees with what a worker's bash and dash do.

Hypothesis generates scripts, and the shells of a worker image run them. If the check knows a file, the shell
must have written it so; if the check has several options, the file must be one of them.
"""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakery.userdata.lint import files, unknown
from bakery.userdata.lint.shell import effects
from bakery.userdata.lint.shell.syntax import Unreadable
from tests.conftest import Folders
from tests.integration.userdata_reference import Reference, reference_in

CASES = int(os.environ.get("SHELL_CASES", "1500"))
FILE, OTHER = "/etc/osg-worker.conf", "/etc/other"
PLAIN = ["x", "a.b", "Token", "=", "/etc", "x#y", "-n", "1", "a,b", "%s", "~", "+", "@", "a=b", ":"]
QUOTED = [
    "two words",
    " a  b ",
    "#x",
    "*",
    "{a,b}",
    ";",
    "&",
    "a|b",
    "(x)",
    "[",
    "!",
    "<",
    "it",
    "é",
    "-e",
    "\t",
]
BACKSLASHED = ["\\n", "\\\\", "a\\tb", "\\c", "\\101", "%d\\n"]
NAMES = ["A", "B", "C"]
EXPANDED = [
    *(
        "$A",
        "${B}",
        "$C",
        "${A:-d e}",
        "${B-none}",
        "${C:+set}",
        "${A:=y}",
        "${#A}",
        "${A%x}",
        "$1",
        "$2",
        "$@",
        "$#",
    ),
    *(
        "$(echo hi)",
        "$(echo a; echo b)",
        "`echo $A`",
        "$((1 + 1))",
        "$(cat /etc/other)",
        "$NOBODY",
        "$(printf x)",
    ),
]


def in_double_quotes(parts: list[str]) -> str:
    return '"' + "".join(parts) + '"'


def in_single_quotes(text: str) -> str:
    return "'" + text + "'"


LETTERS = st.sampled_from(PLAIN)
SINGLE = st.sampled_from([*PLAIN, *QUOTED, *BACKSLASHED, "$A", '"', "`"]).map(in_single_quotes)
DOUBLE = st.lists(st.sampled_from([*PLAIN, *QUOTED, *EXPANDED, '\\"', "\\$", "'", "\\\\"]), max_size=3).map(
    in_double_quotes
)
WORD = st.one_of(
    LETTERS,
    SINGLE,
    DOUBLE,
    st.sampled_from(EXPANDED),
    st.sampled_from(["*", "{a,b}", "\\x", "a\\ b", "$'a\\tb'", '$"x"', "x*y"]),
    st.lists(st.one_of(LETTERS, DOUBLE, SINGLE, st.sampled_from(EXPANDED)), min_size=2, max_size=3).map(
        "".join
    ),
)
WORDS = st.lists(WORD, max_size=3).map(" ".join)
SINK = st.sampled_from(
    [f">{FILE}", f">>{FILE}", f">>{FILE}", f">>{FILE} 2>&1", f'>>"{FILE}"', f"&>>{FILE}", f">{OTHER}", ""]
)
BODIES = st.lists(
    st.sampled_from([*PLAIN, *QUOTED, *EXPANDED, *BACKSLASHED, "\\$A", "'", '"$A"', "\n", "EOF x", "\\\n"]),
    max_size=5,
).map("".join)
CONDITIONS = st.sampled_from(
    [
        *(
            '[ -n "$A" ]',
            '[ -z "$A" ]',
            '[ "$A" = x ]',
            '[ "$B" != x ]',
            "true",
            "false",
            "! true",
            '[ "$A" ]',
        ),
        *(
            "grep -q root /etc/passwd",
            "grep -q nosuch /etc/passwd",
            f"[ -f {FILE} ]",
            f"test -e {OTHER}",
            "[ ! x = y ]",
        ),
        *("A=x", "id >/dev/null", "echo maybe", "! grep -q x /etc/nosuch"),
    ]
)
ECHO = st.tuples(st.sampled_from(["", "", "-n ", "-e ", "-ne ", "-E "]), WORDS, SINK).map(
    lambda drawn: f"echo {drawn[0]}{drawn[1]} {drawn[2]}"
)
PRINTF = st.tuples(
    st.sampled_from(["'%s\\n'", "'%s = %s\\n'", "'%b.'", "x", "'%d\\n'", "'%%%s'", "'a\\tb\\n'"]),
    WORDS,
    SINK,
).map(lambda drawn: f"printf {drawn[0]} {drawn[1]} {drawn[2]}")
ASSIGN = st.tuples(
    st.sampled_from(["", "", "export "]), st.sampled_from(NAMES), st.sampled_from(["=", "+="]), WORD
).map(lambda drawn: f"{drawn[0]}{drawn[1]}{'=' if drawn[0] else drawn[2]}{drawn[3]}")


def document(drawn: tuple[str, str, str, str]) -> str:
    """A here-document; with <<- its lines begin with tabs."""
    command, start, body, sink = drawn
    end = "EOF" if "EOF" in start else "E F"
    return f"{command} {start} {sink}\n{body}\n{end}"


DOCUMENT = st.tuples(
    st.sampled_from(["cat", f"tee -a {FILE}", "cat -", "cat", f"install -m 640 /dev/stdin {FILE}"]),
    st.sampled_from(["<<EOF", "<<'EOF'", '<<"EOF"', "<<-EOF", "<<\\EOF", "<<'E F'"]),
    BODIES,
    SINK,
).map(document)
OTHERS = st.sampled_from(
    [
        *(f"mv {FILE} {OTHER}", f"cp {OTHER} {FILE}", f"rm -f {FILE}", f"chmod 600 {FILE}", "umask 077", f"touch {FILE}"),
        *(f"chmod go= {FILE}", f"chmod u=rw,g=r,o-r {FILE}", "umask u=rwx,go=r", f"cat {OTHER} >>{FILE}", f">{FILE}"),
        *(f"sed -i s/x/y/ {FILE}", f"tr a-z A-Z <{OTHER} >>{FILE}", f"echo hello | tee {FILE} >/dev/null", "unset A"),
        *("set -- one 'two words'", "shift", f"cat <<<\"$A\" >>{FILE}", "cd /etc", "echo here >>osg-worker.conf", "cd /"),
        *(f"eval 'A=z; echo $A' >>{FILE}", f"bash -c 'echo \"$A$1\" >>{FILE}' x y", f"sh -c \"echo '$A'\" >>{FILE}"),
        *(f"echo aGVsbG8K | base64 -d >>{FILE}", "read -r A </etc/hostname", f"cp {FILE} {OTHER}", ". /etc/os-release"),
        *(f"while read -r l; do echo \"$l\" >>{FILE}; done <{OTHER}", "B=$(cat /etc/hostname)", "false", ": # x"),
    ]
)  # fmt: skip
SIMPLE = st.one_of(ECHO, PRINTF, ASSIGN, DOCUMENT, OTHERS)


def several(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(inner, min_size=1, max_size=3).map("\n".join)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = several(inner)
    return st.one_of(
        st.tuples(body, SINK).map(lambda drawn: f"{{\n{drawn[0]}\n}} {drawn[1]}"),
        st.tuples(body, SINK).map(lambda drawn: f"(\n{drawn[0]}\n) {drawn[1]}"),
        st.tuples(CONDITIONS, body, body).map(
            lambda drawn: f"if {drawn[0]}; then\n{drawn[1]}\nelse\n{drawn[2]}\nfi"
        ),
        st.tuples(CONDITIONS, CONDITIONS, body, body, SINK).map(
            lambda drawn: (
                f"if {drawn[0]}; then\n{drawn[2]}\nelif {drawn[1]}; then\n{drawn[3]}\nfi {drawn[4]}"
            )
        ),
        st.tuples(CONDITIONS, st.sampled_from(["&&", "||"]), body).map(
            lambda drawn: f"{drawn[0]} {drawn[1]} {{\n{drawn[2]}\n}}"
        ),
        st.tuples(st.sampled_from(NAMES), WORDS, body).map(
            lambda drawn: f"for {drawn[0]} in {drawn[1]}; do\n{drawn[2]}\ndone"
        ),
        st.tuples(body, WORDS).map(lambda drawn: f"say() {{\n{drawn[0]}\n}}\nsay {drawn[1]}"),
        st.tuples(WORD, body, body).map(
            lambda drawn: f"case {drawn[0]} in\nx) {drawn[1]}\n;;\n*)\n{drawn[2]}\nesac"
        ),
        st.tuples(
            body, st.sampled_from([f"tee -a {FILE}", f"cat >>{FILE}", "cat", f"grep x >>{FILE}"])
        ).map(lambda drawn: f"{{\n{drawn[0]}\n}} | {drawn[1]}"),
    )


SCRIPTS = several(st.recursive(SIMPLE, compound, max_leaves=6)).map(lambda text: f"{text}\n")


@pytest.fixture(scope="module")
def reference(image_root: Path, folders: Folders) -> Iterator[Reference]:
    with reference_in(image_root, folders("shell")) as made:
        yield made


def matches(expected: files.File | None, seen: list[object] | None) -> bool:
    if expected and expected.text in unknown.WHY:
        return True
    if expected is None or seen is None:
        return expected is None and seen is None
    text = base64.b64decode(str(seen[0])).decode("utf-8", "replace")
    known = (re.escape(part) for part in re.split("[\U000f0000-\U000f0fff]", unknown.plain(expected.text)))
    return expected.mode in (-1, seen[1]) and bool(re.fullmatch(".*".join(known), text, re.DOTALL))


@pytest.mark.parametrize("name", ["bash", "sh"])
def test_the_check_agrees_with_the_shell(name: str, reference: Reference) -> None:
    count: Counter[str] = Counter()

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(SCRIPTS)
    def one(text: str) -> None:
        try:
            found = effects.of(text, {}, posix=name == "sh", where="", watched=(FILE,)).files
        except Unreadable:
            count["unreadable"] += 1
            return
        result = reference.run(script=base64.b64encode(text.encode()).decode(), shell=name, paths=[FILE])
        options, seen = found.get(FILE, files.ABSENT), result["files"][FILE]
        assert any(matches(option, seen) for option in options), (text, options, seen)
        count[
            "known"
            if len(options) == 1 and unknown.is_known(options[0].text if options[0] else "")
            else "unknown"
        ] += 1

    one()
    print(f"\n{dict(count)}")
    assert count["known"] > CASES // 6, count
    # For sh, the check does not follow syntax that shells parse differently.
    assert count["unreadable"] < (CASES // 20 if name == "bash" else CASES * 2 // 3), count
