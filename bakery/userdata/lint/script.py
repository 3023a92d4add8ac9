"""Check a script: whether the kernel executes it, its syntax, and whether it exposes the token."""

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
    """Check a script as cloud-init writes it to the file that it executes."""
    fatal = list(_not_executed(text, context.where))
    yield from fatal
    if fatal:
        return
    if is_shell(text):
        yield from _syntax(text, context.where)
        yield from _traced(text, context.where)


def interpreter(text: str) -> str:
    """The name of the interpreter without its directory; "" if the script has none."""
    match = _SHEBANG.match(text)
    if not match:
        return ""
    words = [match[1].rpartition("/")[2], *match[2].split()]
    if words[0] == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0].rpartition("/")[2] if words else ""


def is_shell(text: str) -> bool:
    """Whether a shell interprets the script."""
    return bool(_SHELL.fullmatch(interpreter(text)))


def is_executed(text: str) -> bool:
    """Whether the kernel executes the script."""
    return not any(_not_executed(text, ""))


def _not_executed(text: str, where: str) -> Iterator[Finding]:
    """The reasons why the kernel or the interpreter cannot run the script (execve(2), env(1))."""
    first = text.partition("\n")[0]
    match = _SHEBANG.match(text)
    if not match:
        if text.lstrip().startswith("#!"):
            fix = "Move #! to the beginning of the file."
            why = "Blanks or empty lines precede #!, so the kernel does not execute the script."
            yield error("leading-blank", why, fix, where)
        else:
            why = "The script does not begin with #!, so the kernel does not execute it."
            yield error("bad-shebang", why, "Add the first line #!/bin/bash.", where)
    elif first.endswith("\r"):
        why = "The first line ends with CR LF; the kernel takes the CR as part of the interpreter."
        yield error("crlf", why, "Save it with Unix line ends (LF).", where)
    elif not match[1].startswith("/"):
        why = "The interpreter in the first line is not an absolute path."
        yield error("relative-shebang", why, "Write #!/bin/bash.", where)
    elif _takes_one_argument(match[1], match[2]) and re.search(r"\s", match[2].strip()):
        program = match[1][:80]
        why = f"The kernel passes all words after {program} as one argument, so the script does not start."
        yield error("bad-shebang", why, "Set options with set in the script.", where)


def _takes_one_argument(program: str, words: str) -> bool:
    name = program.rpartition("/")[2]
    return name in ("bash", "sh", "dash") or (
        name == "env" and not re.match(r"-\w*S|--split-string", words)
    )


def _syntax(text: str, where: str) -> Iterator[Finding]:
    by_bash, by_dash = _parsed(_BASH, text), None
    if interpreter(text) in ("sh", "dash"):
        by_dash = _parsed(_DASH, text)
    if by_bash is None:
        what = "bash is not installed here, so the syntax was not checked."
        yield warning("unchecked-script", what, "", where)
    elif by_bash.status != 0 and by_dash is not None and by_dash.status == 0:
        what = f"bash, which is sh on Enterprise Linux, reports a syntax error: {_position(by_bash)}."
        yield warning("sh-syntax", what, "Use syntax that bash and dash both accept.", where)
    elif by_bash.status != 0:
        what = f"bash reports a syntax error: {_position(by_bash)}."
        yield error("shell-syntax", what, "Correct the syntax.", where)
    elif "here-document" in by_bash.stderr:
        start = re.search(r"line (\d+): ", by_bash.stderr)
        yield error(
            "open-heredoc",
            f"The here-document that begins in line {start[1] if start else '?'} has no end.",
            "Write its delimiter alone on a line, without blanks before or after it.",
            where,
        )
    elif by_dash is not None and by_dash.status != 0:
        what = f"dash, which is sh on Debian and Ubuntu, reports a syntax error: {_position(by_dash)}."
        yield warning("sh-syntax", what, "Write #!/bin/bash, or use syntax that dash accepts.", where)


def _parsed(command: Sequence[str], text: str) -> run.Completed | None:
    """Let a shell parse the script without running it (-n); None if the shell is not installed."""
    try:
        # Without the caller's environment: bash would run the file in BASH_ENV.
        return run.call(
            command,
            stdin=text.encode("utf-8", "surrogateescape"),
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            expect=range(256),
            seconds=_SECONDS,
        )
    except MissingHere:
        return None


def _position(done: run.Completed) -> str:
    """The position and reason of a syntax error: bash prints "NAME: line 3: why", dash "NAME: 3: why"."""
    match = re.search(r": (?:line )?(\d+): (.*)", done.stderr)
    return f"line {match[1]}: {match[2][:120]}" if match else "in the last line"


def _traced(text: str, where: str) -> Iterator[Finding]:
    match = _SHEBANG.match(text)
    words = match[2] if match else ""
    outside = "\n".join(_outside_documents(text))
    if (_TRACED.search(outside) or re.match(r"-\w*x", words)) and TOKEN.search(text):
        yield warning(
            "traced-token",
            "set -x prints each command to the console log of the instance, including the token.",
            "Remove set -x from a script that contains a token.",
            where,
        )


def _outside_documents(text: str) -> Iterator[str]:
    """The lines outside of here-documents."""
    end = ""
    for line in text.split("\n"):
        if end:
            end = "" if line.strip(" \t") == end else end
            continue
        yield line
        if match := _DOCUMENT.search(line):
            end = match[1]
