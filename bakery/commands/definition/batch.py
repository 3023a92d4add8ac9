"""Bake several images with one command, and print what became of each."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bakery.commands.command_line import entry, terminal
from bakery.commands.command_line.columns import table
from provisioner.errors import BadInput, BakeryError, Interrupted, to_event
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from minisign import SecretKey

    from bakery.bake.options import Options
    from bakery.batch.outcome import Outcome

_HEADER = ("image", "result", "seconds", "proven", "path")
_SHOWN = ("id", "base", "kind", "size", "sha256", "made", "proof")


def bake(
    items: Sequence[tuple[str, Options]], options: argparse.Namespace, key: SecretKey | None = None
) -> int:
    """Bake the images of (label, options); return the exit code of the worst result.

    `options` has jobs, json, quiet and verbose; `key` signs the images. Raises BadInput,
    Interrupted as bakery.batch.run.bake_all.
    """
    from bakery.batch import outcome, run
    from bakery.runtime import progress
    from bakery.store import store

    _refuse_common_lock(items)
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        outcomes = run.bake_all(items, options.jobs, store.Store(store.default_root()), monitor)
        if key:
            outcomes = tuple(_signed(one, key) for one in outcomes)
    code = outcome.exit_code(outcomes)
    if options.json:
        print(json.dumps({"images": [to_json(one) for one in outcomes], "exit_code": code}))
        return code
    print("\n".join(table(rows(outcomes), terminal.width(terminal.STDOUT))))
    sys.stdout.flush()  # before the errors, if both are written to one file
    for one in outcomes:
        if one.error:
            print(f"error: {one.label}: {scrub(str(one.error))}", file=sys.stderr)
    if not code:
        _suggest(outcomes, dict(items), silent=options.quiet)
    return code


def _signed(one: Outcome, key: SecretKey) -> Outcome:
    """Sign an image that was baked; an error becomes that of the image."""
    from bakery.description import signature

    if one.path is None:
        return one
    try:
        signature.sign(one.path, key)
    except Interrupted:
        raise
    except BakeryError as error:
        return replace(one, error=error)
    return one


def _refuse_common_lock(items: Sequence[tuple[str, Options]]) -> None:
    """Raise BadInput: a lock has the packages of one image."""
    if any(wanted.lock for _, wanted in items):
        raise BadInput(
            f"--lock requires one image, but there are {len(items)}.",
            "Bake each image by itself, with a lock of its own.",
        )


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """The table of the results, with its header."""
    return [_HEADER, *map(_row, outcomes)]


def _row(one: Outcome) -> tuple[str, ...]:
    result = "failed" if one.error else "from the cache" if one.from_store else "baked"
    proven = one.levels[-1] if one.levels else "-"
    return one.label, result, f"{one.seconds:.1f}", proven, str(one.path or "-")


def to_json(one: Outcome) -> dict[str, Any]:
    """The entry of an image in the output of --json: with `error`, or with what a single bake prints."""
    shown: dict[str, Any] = {"label": one.label, "seconds": round(one.seconds, 1)}
    if one.error:
        event = {name: scrub(text) for name, text in to_event(one.error).items() if name != "event"}
        return {**shown, "error": {**event, "exit_code": one.error.exit_code}}
    about = {name: one.manifest[name] for name in _SHOWN}
    return {**shown, "path": str(one.path), "from_store": one.from_store, **about}


def _suggest(outcomes: Sequence[Outcome], options: Mapping[str, Options], *, silent: bool) -> None:
    """Verify the first disk that has not joined a pool yet; else upload the first."""
    from bakery.commands import verify

    disks = [one for one in outcomes if one.path and options[one.label].format == "qcow2"]
    left = [one for one in disks if "pool" not in one.levels]
    if left and left[0].path:
        command = verify.command(options[left[0].label], left[0].path)
        entry.suggest(command, f"let {left[0].label} join a test pool", silent=silent)
    elif disks:
        command = verify.upload(disks[0].path) if disks[0].path else ""
        entry.suggest(command, f"upload {disks[0].label} to OpenStack", silent=silent)
