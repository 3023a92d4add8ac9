"""A script as user-data: does it parse, and does it keep the token to itself?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bakery.launch.findings import Finding, error, warning
from bakery.launch.lint import conf
from bakery.launch.lint.context import TOKEN, Context
from provisioner import run
from provisioner.errors import MissingHere

_SHEBANG = re.compile(r"#!\s*(\S+)(?:\s+(.*))?")
_SHELL = re.compile(r"(?:.*/)?(?:bash|sh|dash|ash|ksh)")
_HEREDOC = re.compile(
    r"""(?mx) ^ (?P<command>[^\n#]*?)
        <<(?P<dash>-?) [ \t]* (?P<quote>['"\\]?) (?P<word>[\w.+-]+) ['"]? [^\n]* \n
        (?P<body> (?: .*\n )*? ) (?P<tabs>\t*) (?P=word) [ \t]* $"""
)
_PRIVATE = re.compile(
    r"(?m)\bumask\s+0?[0-7]?77\b|\bchmod\s+(?:-\w+\s+)*(?:0?[46]00|u=rw?,go=|go-\S+|go=)\s"
)
_INSTALLED = re.compile(r"\binstall\b.*(?:-m\s*|--mode=)0?[46]00\b")
_TRACED = re.compile(r"(?m)^\s*set\s+(?:-\w*x|-o\s+xtrace)")
_SECONDS = 20.0


@dataclass(frozen=True)
class Heredoc:
    """One document in a script: what it is fed to, and whether the shell looks into it."""

    command: str
    body: str
    quoted: bool


def check(text: str, context: Context) -> Iterator[Finding]:
    interpreter, words = _interpreter(text)
    if interpreter and not interpreter.startswith("/"):
        yield error(
            "relative-shebang",
            "The first line names no absolute path.",
            "Write #!/bin/bash.",
            context.where,
        )
    if _SHELL.fullmatch(interpreter or "sh"):
        yield from _syntax(text, context.where)
    yield from _told(text, words, context.where)
    for document in heredocs(text):
        if path := conf.path_in(document.command):
            yield from _written(document, path, text, context)


def heredocs(text: str) -> list[Heredoc]:
    return [
        Heredoc(
            match["command"],
            re.sub(r"(?m)^\t+", "", match["body"]) if match["dash"] else match["body"],
            bool(match["quote"]),
        )
        for match in _HEREDOC.finditer(text)
    ]


def _interpreter(text: str) -> tuple[str, str]:
    match = _SHEBANG.match(text)
    return (match[1], match[2] or "") if match else ("", "")


def _syntax(text: str, where: str) -> Iterator[Finding]:
    try:
        # No environment: BASH_ENV would be run.
        done = run.call(
            ["bash", "--norc", "-n", "/dev/stdin"],
            stdin=text.encode(),
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            expect=range(256),
            seconds=_SECONDS,
        )
    except MissingHere:
        yield warning("unchecked-script", "There is no bash here to check it.", "", where)
        return
    said = re.search(r"line (\d+): (.*)", done.stderr)
    if done.status != 0:
        what = f"line {said[1]}: {said[2][:120]}" if said else "its last line"
        yield error("shell-syntax", f"bash does not understand {what}.", "Correct it.", where)
    elif "here-document" in done.stderr:
        yield error(
            "open-heredoc",
            f"The document from line {said[1] if said else '?'} on never ends.",
            "Its last word must stand alone on a line, without blanks before or after.",
            where,
        )


def _told(text: str, words: str, where: str) -> Iterator[Finding]:
    """Ways in which a token gets to where others see it."""
    outside = _HEREDOC.sub("", text)
    if TOKEN.search(outside):
        yield warning(
            "token-on-command-line",
            "A token stands in a command, which others on the machine can see.",
            "Write it by cat >FILE <<'EOF'.",
            where,
        )
    if (_TRACED.search(outside) or re.match(r"-\w*x", words)) and TOKEN.search(text):
        yield warning(
            "traced-token",
            "set -x writes commands, and the token in them, to the cloud's console log.",
            "Leave it away.",
            where,
        )


def _written(document: Heredoc, path: str, text: str, context: Context) -> Iterator[Finding]:
    if not document.quoted and re.search(r"[$`\\]", document.body):
        yield error(
            "unquoted-heredoc",
            "The shell replaces $, ` and \\ in the document, because its word is not quoted.",
            "Write <<'EOF' with quotes.",
            context.where,
        )
    if not (_PRIVATE.search(text) or _INSTALLED.search(text)):
        yield warning(
            "world-readable",
            f"{path} would be readable by every job on the worker.",
            "Say umask 077 before.",
            context.where,
        )
    yield from conf.check(document.body, context, conf.paths()[path])
