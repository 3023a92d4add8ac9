"""The options of bake --submit."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from bakery.commands.command_line.parser import completed, whole_number

_RETRIES = 2
# Options that mean nothing without one of --submit, --submit-files and --submit-status.
_FURTHER = ("wait", "submit_dir", "submit_program", "submit_container", "submit_commands")

# What submits nothing, and the options that would have no effect beside it.
_WITHOUT_EFFECT: Mapping[str, Sequence[str]] = {
    "submit_files": ("submit", "submit_dir", "submit_status", "wait"),
    "submit_status": ("submit", "files", *(name for name in _FURTHER if name != "wait")),
}


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
    """Return whether the command line is about a pool.

    Raises BadInput: --submit is missing, or an option would have no effect beside another.
    """
    if not (found.submit or found.submit_files or found.submit_status):
        for name in (name for name in _FURTHER if getattr(found, name)):
            raise _wrong(f"{_option(name)} requires --submit.", "Add --submit.")
        return False
    for name, others in _WITHOUT_EFFECT.items():
        for other in (other for other in others if getattr(found, name) and getattr(found, other)):
            raise _wrong(
                f"{_option(name)} and {_option(other)} cannot be used together.", "Omit one of them."
            )
    return True


def _option(name: str) -> str:
    names = {"files": "FILE.toml", "submit_commands": "--submit-command"}
    return names.get(name) or f"--{name.replace('_', '-')}"


def _wrong(message: str, hint: str) -> Exception:
    from provisioner.errors import BadInput

    return BadInput(message, hint)
