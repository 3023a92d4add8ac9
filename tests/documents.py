"""The documentation as data: links, anchors, code blocks, and the commands in them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.reference.commands import ALIASES, programs

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
SHELL = ("sh", "bash", "shell", "console")

_FENCE = re.compile(r"^( *)(```+|~~~+) *([^\n`]*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?([^)\s>]*)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_INDENTED = re.compile(
    r"^ {4}(?: {3,4})?(?:\$ )?((?:bake-image|gen-userdata|worker-bakery) .*)$", re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A fenced code block; `info` is what follows the language, `line` the number of its first line."""

    language: str
    info: str
    text: str
    line: int


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# --- Markdown ----------------------------------------------------------------------------------


def blocks(text: str) -> list[Block]:
    """The fenced code blocks. A block in a list is dedented."""
    return [
        Block(*_language(match[3]), textwrap.dedent(match[4]), text.count("\n", 0, match.start(4)) + 1)
        for match in _FENCE.finditer(text)
    ]


def _language(words: str) -> tuple[str, str]:
    language, _, info = words.strip().partition(" ")
    return language, info.strip()


def links(text: str) -> list[str]:
    """The targets of all links and images outside code."""
    return _LINK.findall(_CODE.sub("`code`", _FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them; a second heading of one name has `-1` at its end."""
    found: dict[str, int] = {}
    names: set[str] = set()
    for match in _HEADING.finditer(_FENCE.sub("", text)):
        slug = _slug(match[1])
        count = found.get(slug, 0)
        found[slug] = count + 1
        names.add(f"{slug}-{count}" if count else slug)
    return names


def _slug(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def broken_links(page: Path, text: str) -> list[str]:
    """Targets without a file, or without the heading. Links to other hosts are not followed."""
    return [
        target for target in links(text) if not re.match(r"[a-z]+:", target) and _broken(page, text, target)
    ]


def _broken(page: Path, text: str, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = Path(os.path.normpath(page.parent / path)) if path else page
    if not file.exists() or path.startswith("/"):
        return True
    if not anchor:
        return False
    return file.suffix != ".md" or anchor not in anchors(text if file == page else file.read_text())


def missing_paths(text: str) -> list[str]:
    """Paths of this repository that the text names as code, and that do not exist."""
    named = re.findall(
        r"`((?:bakery|provisioner|worker|tests|scripts|packer|cloud-init|tools|docs)/[\w./*-]+)`", text
    )
    return [path for path in named if not _exists(path)]


def _exists(path: str) -> bool:
    """Capital words stand for names, as in packer/bases/NAME.toml."""
    if re.search(r"\b[A-Z]{3,}\b", path):
        return True
    return any(ROOT.glob(path.rstrip("/")))


# --- shell -------------------------------------------------------------------------------------


def typed(block: Block) -> str:
    """What a reader types: all of it; of a `console` block what follows `$ `, with its continuations."""
    if block.language != "console":
        return block.text
    found, continued = [], False
    for line in block.text.splitlines():
        if continued or line.startswith("$ "):
            found.append(line.removeprefix("$ "))
            continued = line.endswith("\\")
    return "\n".join(found) + "\n"


def examples(text: str) -> Iterator[str]:
    """All shell text of a page: fenced blocks, and commands of ours in indented ones."""
    for block in blocks(text):
        if block.language in SHELL:
            yield typed(block)
    joined = re.sub(r"\\\n\s*", "", _FENCE.sub("", text))
    yield from (f"{match[1]}\n" for match in _INDENTED.finditer(joined))


def commands(script: str) -> Iterator[tuple[str, ...]]:
    """The words of each simple command, without assignments, redirections and `sudo`."""
    for line in _logical_lines(script):
        words: list[str] = []
        tokens = iter(_tokens(line))
        for token in tokens:
            if not re.fullmatch(r"[();<>|&]+", token):
                words.append(token)
            elif re.search("[<>]", token):
                if words and words[-1].isdigit():
                    words.pop()
                next(tokens, None)
            else:
                yield from _without_prefix(words)
                words = []
        yield from _without_prefix(words)


def _logical_lines(script: str) -> Iterator[str]:
    """Continued lines as one, without comments and the text of here-documents."""
    lines = iter(re.sub(r"\\\n", " ", script).splitlines())
    for line in lines:
        whole = re.sub(r"(^|\s)#(\s.*)?$", "", line)
        while _is_open(whole) and (more := next(lines, None)) is not None:
            whole += f"\n{more}"
        yield whole
        for _, delimiter in re.findall(r"<<-?\s*(['\"]?)(\w+)\1", whole):
            for text in lines:
                if text.strip() == delimiter:
                    break


def _is_open(line: str) -> bool:
    try:
        _tokens(line)
    except ValueError:
        return True
    return False


def _tokens(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    return list(lexer)


_PREFIXES = frozenset(
    {"sudo", "exec", "nice", "time", "env", "if", "then", "do", "while", "!", "else", "{"}
)


def _without_prefix(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    rest = list(words)
    while rest and (rest[0] in _PREFIXES or re.match(r"\w+=", rest[0]) or rest[0].startswith("-")):
        rest.pop(0)
    if rest:
        yield tuple(rest)


def wrong_calls(text: str) -> list[str]:
    """Calls of our commands in a page that our parsers do not accept, with the reason."""
    found = []
    for script in examples(text):
        for words in commands(script):
            if reason := _refused(words):
                found.append(f"{shlex.join(words)}: {reason}")
    return found


def _refused(words: Sequence[str]) -> str:
    """Why the parsers do not accept a command; "" if they do, or it is not ours."""
    first = words[0].removeprefix("./")
    if first.startswith("scripts/"):
        return "" if (ROOT / first).is_file() else "there is no such script"
    command, *rest = [*ALIASES.get(Path(first).name, Path(first).name).split(), *words[1:]]
    if command != "worker-bakery" or (rest and rest[0] in ("--help", "--version", "-h")):
        return ""
    parsers = {program.name.split()[1]: program.parser for program in programs()}
    if not rest or rest[0] not in parsers:
        return "there is no such command"
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parsers[rest[0]].parse_args(rest[1:])
    except SystemExit as end:
        return said.getvalue().strip().splitlines()[-1] if end.code else ""
    return ""
