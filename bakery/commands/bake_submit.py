"""worker-bakery bake --submit: the options of a bake on an HTCondor pool, and the table of its results."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line import entry
from bakery.commands.command_line.parser import completed, whole_number
from bakery.commands.command_line.settings import Settings

if TYPE_CHECKING:
    from bakery.bake.options import Options
    from bakery.submit.images import JobImage
    from bakery.submit.results import NodeResult

_RETRIES = 2


def add_options(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("on an HTCondor pool")
    group.add_argument(
        "--submit", action="store_true", help="bake each image in a job of its own, submitted with DAGMan"
    )
    group.add_argument(
        "--wait", action="store_true", help="wait for the jobs, then print the table of results"
    )
    folders = (
        ("--submit-status", "print the table of results of a DAG that was submitted from DIR"),
        ("--submit-files", "write the files of the DAG to DIR; do not submit it"),
        ("--submit-dir", "write the files of the DAG to DIR (default: ./NAME.dag)"),
    )
    for option, text in folders:
        completed(group.add_argument(option, type=Path, metavar="DIR", help=text), "directory")
    program = "path of worker-bakery on the execute nodes (default: nodes that advertise HasWorkerBakery)"
    group.add_argument("--submit-program", default="", metavar="PATH", help=program)
    container = "run the jobs in this container image: docker://REGISTRY/NAME, or a file"
    group.add_argument("--submit-container", default="", metavar="IMAGE", help=container)
    group.add_argument(
        "--submit-command",
        dest="submit_commands",
        action="append",
        default=[],
        metavar="'KEY = VALUE'",
        help="add a command to the submit description, for example 'request_memory = 4GB'; repeatable",
    )
    group.add_argument(
        "--submit-retries",
        type=whole_number,
        default=_RETRIES,
        metavar="N",
        help="run a failed job up to N times again (default: %(default)s)",
    )


def is_wanted(found: argparse.Namespace) -> bool:
    return bool(found.submit or found.submit_files or found.submit_status)


def main(found: argparse.Namespace, settings: Settings, prog: str) -> int:
    """Submit, or show what was submitted. Raises BadInput, MissingHere, Unreachable."""
    if found.submit_status:
        return _show(found, found.submit_status)
    return submit(found, [image_of_options(found, settings)], prog)


def submit(found: argparse.Namespace, images: Sequence[JobImage], prog: str, name: str = "") -> int:
    """Write the DAG of these images and submit it, as the options say. `name` is that of its folder."""
    from bakery.submit import description, folder, submission

    options = description.SubmitOptions(
        program=found.submit_program,
        container=found.submit_container,
        retries=found.submit_retries,
        commands=description.parse_commands(found.submit_commands),
    )
    name = name or images[0].label
    at = (found.submit_files or found.submit_dir or Path(f"{name}.dag")).absolute()
    if not found.submit_files:
        submission.require()
    folder.write(at, images, options)
    if found.submit_files:
        return _written(found, at)
    cluster = submission.submit(at, f"worker-bakery {name}")
    if found.wait:
        if not found.quiet:
            print(f"submitted to cluster {cluster}: {at}", file=sys.stderr)
        return _show(found, at)
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


def _show(found: argparse.Namespace, at: Path) -> int:
    from bakery.runtime import progress
    from bakery.submit import results, submission

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
    from bakery.commands.command_line import columns, terminal

    rows = [("image", "state", "machine", "runs", "verified", "result"), *map(_row, read)]
    print("\n".join(columns.table(rows, terminal.width(terminal.STDOUT))))


def _row(one: NodeResult) -> tuple[str, ...]:
    state = f"{one.state} ({one.code})" if one.code else one.state
    starts = str(one.starts) if one.starts else ""
    return (one.node, state, one.machine, starts, one.verified, " ".join(one.detail.split()))


# --- the image of the command line ---------------------------------------------------------------

# The options of the image that have a value, those that have none, and those that are repeatable.
_VALUES = (
    ("worker", "--worker"), ("format", "--format"), ("arch", "--arch"), ("mirror", "--mirror"),
    ("family", "--family"), ("sha256", "--sha256"), ("login", "--login"),
    ("cvmfs_repositories", "--cvmfs-repositories"), ("cvmfs_proxy", "--cvmfs-proxy"),
    ("cvmfs_quota", "--cvmfs-quota"), ("engine", "--engine"), ("accel", "--accel"),
    ("checkpoints", "--checkpoints"),
)  # fmt: skip
_FLAGS = (
    ("offline", "--offline"), ("forbid_eol", "--forbid-eol"), ("rebuild_base", "--rebuild-base"),
    ("keep_repository_urls", "--keep-repository-urls"),
)  # fmt: skip
_LISTS = (
    ("optional", "--with"), ("base_urls", "--base-url"), ("repository_urls", "--repository-url"),
)  # fmt: skip


def image_of_options(found: argparse.Namespace, settings: Settings) -> JobImage:
    """The job of the image that the command line describes. Raises BadInput, as a bake does."""
    from bakery.bake.options import check, make_plan
    from bakery.commands import bake_options
    from bakery.output.formats import FORMATS
    from bakery.submit.images import JobImage
    from provisioner.errors import BadInput

    if found.keep_failed:
        raise BadInput("--keep-failed and --submit cannot be used together.", "Omit one of them.")
    wanted = bake_options.options(found, settings)
    check(wanted)
    base, plan = make_plan(wanted)
    label, suffix = f"{plan.kind}-{base.name}", FORMATS[found.format].suffix
    output = found.output or Path(f"{label}{suffix}")
    if found.format == "oci" and output.suffix != suffix:
        raise BadInput(f"--submit cannot write the folder {output}.", f"Give a path that ends in {suffix}.")
    more, files = _transferred(found, wanted)
    return JobImage(
        label=label,
        output=output.absolute(),
        architecture=base.architecture,
        arguments=(*_arguments(found), *more),
        files=files,
        level=found.verify or "",
    )


def _arguments(found: argparse.Namespace) -> Iterator[str]:
    given = vars(found)
    if not found.base_image and not found.base.endswith(".toml"):
        yield f"--base={found.base}"
    for name, flag in _VALUES:
        if given[name]:
            yield f"{flag}={given[name]}"
    yield from (flag for name, flag in _FLAGS if given[name])
    for name, flag in _LISTS:
        yield from (f"{flag}={value}" for value in given[name])


def _transferred(found: argparse.Namespace, wanted: Options) -> tuple[list[str], dict[str, Path | str]]:
    """The options that name files of this machine, as they are in the job, and these files."""
    from bakery.bake.options import apt_sources

    more: list[str] = []
    files: dict[str, Path | str] = {}

    def add(flag: str, path: str, source: Path | str) -> None:
        more.append(f"{flag}{path}")
        files[path] = source

    if found.base_image:
        add("--base-image=", f"base-image/{found.base_image.name}", found.base_image)
    elif found.base.endswith(".toml"):
        add("--base=", "base.toml", Path(found.base))
    if sources := apt_sources(wanted):  # without references to files of this machine
        add("--apt-source=", "apt.sources", sources)
    if found.pelican:
        add("--pelican=", f"pelican/{found.pelican.name}", found.pelican)
    for number, text in enumerate(found.repository_keys):
        name, _, path = text.partition("=")
        add(f"--repository-key={name}=", f"repository-key-{number}", Path(path))
    return more, files
