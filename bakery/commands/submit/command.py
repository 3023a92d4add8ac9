"""Submit images to a pool, and print what has become of them."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bakery.commands.command_line import columns, entry, terminal
from bakery.runtime import progress
from bakery.submit import description, folder, results, submission
from bakery.submit.images import JobImage
from bakery.submit.results import NodeResult


def main(found: argparse.Namespace, images: Callable[[], Sequence[JobImage]], prog: str) -> int:
    """Submit `images`, or show what was submitted. Raises BadInput, MissingHere, Unreachable."""
    return show(found, found.submit_status) if found.submit_status else submit(found, images(), prog)


def submit(found: argparse.Namespace, images: Sequence[JobImage], prog: str, name: str = "") -> int:
    """Write the DAG of these images and submit it, as the options say. `name` is that of its folder."""
    options = description.SubmitOptions(
        program=found.submit_program,
        container=found.submit_container,
        retries=found.submit_retries,
        commands=description.parse_commands(found.submit_commands),
    )
    name = name or images[0].label
    at = (found.submit_files or found.submit_dir or Path(f"{name}.dag")).absolute()
    if not found.submit_files:
        submission.require(at)
    folder.write(at, images, options)
    if found.submit_files:
        return _written(found, at)
    cluster = submission.submit(at, f"worker-bakery {name}")
    if found.wait:
        if not found.quiet:
            print(f"submitted to cluster {cluster}: {at}", file=sys.stderr)
        return show(found, at)
    return _submitted(found, at, cluster, len(images), prog)


def _written(found: argparse.Namespace, at: Path) -> int:
    print(json.dumps({"folder": str(at)}) if found.json else at)
    command = f"cd {shlex.quote(str(at))} && condor_submit_dag bake.dag"
    entry.suggest(command, "submit the jobs", silent=found.quiet or found.json)
    return 0


def _submitted(found: argparse.Namespace, at: Path, cluster: int, number: int, prog: str) -> int:
    if found.json:
        print(json.dumps({"folder": str(at), "cluster": cluster, "images": number}))
        return 0
    print(at)
    if not found.quiet:
        jobs = "1 image" if number == 1 else f"{number} images"
        print(f"{jobs} submitted to cluster {cluster}; condor_watch_q shows the jobs", file=sys.stderr)
    command = shlex.join([*prog.split(), "--submit-status", str(at), "--wait"])
    entry.suggest(command, "wait for the images and show the results", silent=found.quiet)
    return 0


# --- the table -----------------------------------------------------------------------------------


def show(found: argparse.Namespace, at: Path) -> int:
    """Print the table of a DAG, after its end if --wait is given; return the exit code of the worst."""
    if found.wait:
        with progress.reporting(json=found.json, verbose=found.verbose, quiet=found.quiet) as monitor:
            submission.wait(at, monitor)
    read = results.read(at)
    if found.json:
        print(json.dumps({"folder": str(at), "images": [asdict(one) for one in read]}))
    else:
        _print_table(read)
    return results.worst(read)


def _print_table(read: Sequence[NodeResult]) -> None:
    rows = [("image", "state", "machine", "runs", "verified", "result"), *map(_row, read)]
    print("\n".join(columns.table(rows, terminal.width(terminal.STDOUT))))


def _row(one: NodeResult) -> tuple[str, ...]:
    state = f"{one.state} ({one.code})" if one.code else one.state
    starts = str(one.starts) if one.starts else ""
    return (one.node, state, one.machine, starts, one.verified, " ".join(one.detail.split()))
