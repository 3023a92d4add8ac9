"""A script as user-data: is it run at all, does it parse, and does it keep the token to itself?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bakery.userdata.findings import Finding, error, warning
from bakery.userdata.lint.context import TOKEN, Context
from provisioner.errors import MissingHere
from provisioner.process import run

_SHEBANG = re.compile(r"#![ \t]*(\S+)[ \t]*(.*)")
_SHELL = re.compile(r"(?:.*/)?(?:bash|sh|dash|ash|ksh)")
_DOCUMENT = re.compile(r"<<-?[ \t]*['\"\\]?(\w+)")
_TRACED = re.compile(r"(?m)^\s*set\s+(?:-\w*x|-o\s+xtrace)")
_SECONDS = 20.0
_BASH = ("bash", "--norc", "-n", "/dev/stdin")
_DASH = ("dash", "-n", "/dev/stdin")


def check(text: str, context: Context) -> Iterator[Finding]:
    """Of a script as it is written to the file that cloud-init executes."""
    stopped = list(_not_run(text, context.where))
    yield from stopped
    if stopped:
        return
    if is_shell(text):
        yield from _syntax(text, context.where)
        yield from _traced(text, context.where)


def interpreter(text: str) -> str:
    """The name of the program that runs it, without its folder; "" if none does."""
    match = _SHEBANG.match(text)
    if not match:
        return ""
    words = [match[1].rpartition("/")[2], *match[2].split()]
    if words[0] == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0].rpartition("/")[2] if words else ""


def is_shell(text: str) -> bool:
    return bool(_SHELL.fullmatch(interpreter(text)))


def is_run(text: str) -> bool:
    return not any(_not_run(text, ""))


def _not_run(text: str, where: str) -> Iterator[Finding]:
    """Why the kernel would not execute it, or the interpreter not take its words (execve(2), env(1))."""
    first = text.partition("\n")[0]
    match = _SHEBANG.match(text)
    if not match:
        if text.lstrip().startswith("#!"):
            fix = "Remove what is before #!."
            why = "There are blanks or empty lines before #!, so the kernel does not execute it."
            yield error("leading-blank", why, fix, where)
        else:
            why = "It does not begin with #!, so the kernel does not execute it."
            yield error("bad-shebang", why, "Write #!/bin/bash as its first line.", where)
    elif first.endswith("\r"):
        yield error(
            "crlf", "Its first line ends with CR, which is taken for a part of it.", "Use LF.", where
        )
    elif not match[1].startswith("/"):
        yield error(
            "relative-shebang", "The first line names no absolute path.", "Write #!/bin/bash.", where
        )
    elif _takes_one_word(match[1], match[2]) and re.search(r"\s", match[2].strip()):
        why = f"The kernel hands all words after {match[1][:80]} over as one."
        yield error("bad-shebang", why, "Leave them away; use set in the script.", where)


def _takes_one_word(program: str, words: str) -> bool:
    name = program.rpartition("/")[2]
    return name in ("bash", "sh", "dash") or (
        name == "env" and not re.match(r"-\w*S|--split-string", words)
    )


def _syntax(text: str, where: str) -> Iterator[Finding]:
    by_bash, by_dash = _parsed(_BASH, text), None
    if interpreter(text) in ("sh", "dash"):
        by_dash = _parsed(_DASH, text)
    if by_bash is None:
        yield warning("unchecked-script", "There is no bash here to check it.", "", where)
    elif by_bash.status != 0 and by_dash is not None and by_dash.status == 0:
        what = f"bash, which is sh on Enterprise Linux, does not take it: {_place(by_bash)}."
        yield warning("sh-syntax", what, "Write it so that both take it.", where)
    elif by_bash.status != 0:
        yield error("shell-syntax", f"bash does not understand {_place(by_bash)}.", "Correct it.", where)
    elif "here-document" in by_bash.stderr:
        said = re.search(r"line (\d+): ", by_bash.stderr)
        yield error(
            "open-heredoc",
            f"The document from line {said[1] if said else '?'} on never ends.",
            "Its last word must stand alone on a line, without blanks before or after.",
            where,
        )
    elif by_dash is not None and by_dash.status != 0:
        what = f"dash, which is sh on Debian and Ubuntu, does not take it: {_place(by_dash)}."
        yield warning("sh-syntax", what, "Write #!/bin/bash, or what both take.", where)


def _parsed(command: Sequence[str], text: str) -> run.Completed | None:
    """What a shell says that only reads the script; None if it is not here."""
    try:
        # No environment: BASH_ENV would be run.
        return run.call(
            command,
            stdin=text.encode("utf-8", "surrogateescape"),
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            expect=range(256),
            seconds=_SECONDS,
        )
    except MissingHere:
        return None


def _place(done: run.Completed) -> str:
    """bash says "NAME: line 3: why", dash "NAME: 3: why"."""
    said = re.search(r": (?:line )?(\d+): (.*)", done.stderr)
    return f"line {said[1]}: {said[2][:120]}" if said else "its last line"


def _traced(text: str, where: str) -> Iterator[Finding]:
    match = _SHEBANG.match(text)
    words = match[2] if match else ""
    outside = "\n".join(_outside(text))
    if (_TRACED.search(outside) or re.match(r"-\w*x", words)) and TOKEN.search(text):
        yield warning(
            "traced-token",
            "set -x writes commands to the cloud's console log, and a token in them, too.",
            "Leave it away in a script that has a token.",
            where,
        )


def _outside(text: str) -> Iterator[str]:
    """The lines that are not of a here-document."""
    end = ""
    for line in text.split("\n"):
        if end:
            end = "" if line.strip(" \t") == end else end
            continue
        yield line
        if match := _DOCUMENT.search(line):
            end = match[1]
