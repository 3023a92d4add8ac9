"""Determine the workers' files after all parts of the user-data have run, and check them.

All parts change one set of files, in the order of cloud-init's stages: boothooks, bootcmd, write_files,
deferred write_files, scripts by their names (runcmd is one of them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bakery.userdata.findings import Finding, note, warning
from bakery.userdata.lint import cloud_config, conf, files, python, script, unknown
from bakery.userdata.lint.context import TOKEN, Context
from bakery.userdata.lint.files import File, Files
from bakery.userdata.lint.shell import effects
from bakery.userdata.lint.shell.state import TooMuch
from bakery.userdata.lint.shell.syntax import Unreadable

_STAGES = {
    "text/cloud-boothook": 0,
    "text/x-shellscript-per-once": 4,
    "text/x-shellscript-per-boot": 5,
    "text/x-shellscript-per-instance": 6,
    "text/x-shellscript": 7,
}
_SHELL = "#!/bin/sh\n"  # cloud-init's first line of bootcmd and runcmd


@dataclass(frozen=True)
class Leaf:
    """A part that cloud-init passes to one of its handlers.

    `kind` is its MIME type, `name` its file name, `merge` its Merge-Type header; both may be empty.
    """

    kind: str
    text: str
    name: str
    context: Context
    merge: str = ""


@dataclass(frozen=True)
class _Step:
    """A step of the boot: its stage and name, and a function that changes the files and yields findings."""

    order: tuple[int, str]
    act: Callable[[Files], Iterator[Finding]]


def findings(leaves: Sequence[Leaf], context: Context) -> Iterator[Finding]:
    """The findings of all parts together."""
    configs = [leaf for leaf in leaves if leaf.kind == "text/cloud-config"]
    merged = cloud_config.merged([(leaf.text, leaf.merge, leaf.context) for leaf in configs])
    yield from merged.findings
    known: Files = {}
    for step in sorted(_steps(leaves, merged, context), key=lambda step: step.order):
        yield from step.act(known)
    for path, options in known.items():
        present = [one for one in options if one]
        if path in conf.paths():
            yield from _worker_file(path, present, context)
        elif any(TOKEN.search(one.text) and _is_exposed(one) for one in present):
            yield _world_readable(path, present[0].where)


def _steps(leaves: Sequence[Leaf], merged: cloud_config.Merged, context: Context) -> Iterator[_Step]:
    for number, leaf in enumerate(leaves, 1):
        name = leaf.name or f"part-{number:03}"
        if leaf.kind in _STAGES:
            yield _Step((_STAGES[leaf.kind], name), _script(leaf.text, leaf.context))
        elif leaf.kind not in ("text/cloud-config", ""):
            yield _Step((8, name), _not_followed(leaf.text, leaf.kind, leaf.context))
    for stage, key in ((1, "bootcmd"), (7, "runcmd")):
        if text := cloud_config.shellified(merged.entries.get(key, ())):
            yield _Step((stage, key), _script(_SHELL + text, replace(context, where=key)))
    for entry, where in merged.entries.get("write_files", ()):
        yield _Step(
            (3 if cloud_config.is_deferred(entry) else 2, ""), _entry(entry, replace(context, where=where))
        )


def _script(text: str, context: Context) -> Callable[[Files], Iterator[Finding]]:
    def act(known: Files) -> Iterator[Finding]:
        if not script.is_executed(text):
            return
        if script.is_shell(text):
            yield from _shell(text, known, context)
        elif script.interpreter(text).startswith("python"):
            python.run(text, known, 0o022, context.where, tuple(conf.paths()))
        else:
            _changed(text, known, context)

    return act


def _shell(text: str, known: Files, context: Context) -> Iterator[Finding]:
    posix = script.interpreter(text) != "bash"
    try:
        effect = effects.of(text, known, posix=posix, where=context.where, watched=tuple(conf.paths()))
    except Unreadable as problem:
        if isinstance(problem, TooMuch):
            what = "The script does more than the check follows, so its effect was not checked."
            yield note("not-judged", what, "", context.where)
        _changed(text, known, context)
        return
    known.clear()
    known.update(effect.files)
    if effect.tokens_in_arguments:
        yield warning(
            "token-on-command-line",
            "A token is an argument of a program, which every user can see in the process list.",
            "Write it with cat >FILE <<'EOF', echo or printf.",
            context.where,
        )


def _changed(text: str, known: Files, context: Context) -> None:
    for path in conf.paths():
        if path in text:
            files.change(known, path, unknown.PROGRAM, context.where)


def _not_followed(text: str, kind: str, context: Context) -> Callable[[Files], Iterator[Finding]]:
    """A part whose effect is not followed."""

    def act(known: Files) -> Iterator[Finding]:
        if path := conf.path_in(text):
            yield note(
                "not-judged",
                f"A part of type {kind} names {path}; parts of this type are not checked.",
                "",
                context.where,
            )

    return act


def _entry(entry: cloud_config.Entry, context: Context) -> Callable[[Files], Iterator[Finding]]:
    def act(known: Files) -> Iterator[Finding]:
        made = cloud_config.written(entry)
        if made is not None:
            mode = made.mode
            files.write(known, made.path, made.text, append=made.append, mode=mode, where=context.where)
            files.change_mode(known, made.path, f"{mode:o}")
        yield from ()

    return act


def _worker_file(path: str, present: Sequence[File], context: Context) -> Iterator[Finding]:
    """Check a worker's file. If it depends on a condition, an error in some cases only is a warning."""
    kind = conf.paths()[path]
    checked = [
        list(
            dict.fromkeys(
                (*conf.check(one.text, replace(context, where=one.where), kind), *_permissions(path, one))
            )
        )
        for one in present
    ]
    certain = all(any(finding.severity == "error" for finding in found) for found in checked)
    seen = dict.fromkeys(finding for found in checked for finding in found)
    yield from (finding if certain else _as_warning(finding) for finding in seen)


def _as_warning(finding: Finding) -> Finding:
    if finding.severity != "error":
        return finding
    return replace(finding, severity="warning", message=f"Depending on a condition: {finding.message}")


def _permissions(path: str, file: File) -> Iterator[Finding]:
    if _is_exposed(file) and (TOKEN.search(file.text) or conf.has_token(file.text, conf.paths()[path])):
        yield _world_readable(path, file.where)


def _is_exposed(file: File) -> bool:
    return file.mode >= 0 and bool(file.mode & 0o077)


def _world_readable(path: str, where: str) -> Finding:
    return warning(
        "world-readable",
        f"{path[:80]} contains a token and is readable by every job on the worker.",
        "Set umask 077 before, or permissions: '0600' in write_files.",
        where,
    )
