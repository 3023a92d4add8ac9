"""The job of an image: its definition with all files that it names, and the options of the build host."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from bakery.bake.options import Options, check, make_plan, replays
from bakery.definition.bundle import bundle
from bakery.output.formats import FORMATS
from bakery.submit.images import JobImage
from provisioner.errors import BadInput

# The options of the build host that a job gets: with a value, without, and repeatable.
VALUES = (
    ("mirror", "--mirror"), ("engine", "--engine"), ("accel", "--accel"), ("checkpoints", "--checkpoints"),
    ("refresh", "--refresh"), ("snapshot", "--snapshot"), ("snapshot_mirror", "--snapshot-mirror"),
)  # fmt: skip
FLAGS = (("offline", "--offline"), ("forbid_eol", "--forbid-eol"), ("rebuild_base", "--rebuild-base"))
LISTS = (("base_urls", "--base-url"),)
_LOCK = "packages.lock"


def job_of(label: str, wanted: Options, found: argparse.Namespace) -> JobImage:
    """The job of an image; `label` is its name in a definition file, "" for that of the command line.

    Raises BadInput, as a bake does.
    """
    _refuse(wanted, found)
    check(wanted)
    base, plan = make_plan(wanted)
    suffix, label = FORMATS[wanted.format].suffix, label or f"{plan.kind}-{base.name}"
    output = wanted.output or Path(f"{label}{suffix}")
    if wanted.format == "oci" and output.suffix != suffix:
        raise BadInput(f"--submit cannot write the folder {output}.", f"Give a path that ends in {suffix}.")
    bundled = bundle(wanted)
    lock = {_LOCK: wanted.lock} if wanted.lock else {}
    return JobImage(
        label=label,
        output=output.absolute(),
        architecture=base.architecture,
        arguments=(f"{label}.toml", *_arguments(found), *(f"--lock={path}" for path in lock)),
        files={f"{label}.toml": bundled.text.encode(), **bundled.files, **lock},
        level=_demanded(wanted, found),
    )


def _demanded(wanted: Options, found: argparse.Namespace) -> str:
    """The verification level of the command line, or one of the definition that is not the default.

    A job without root fails if it cannot verify to this level; "" lets it bake without verification.
    """
    from bakery.commands import bake_options

    default = bake_options.highest_level(wanted.format)
    return found.verify or (wanted.level if wanted.level != default else "")


def _refuse(wanted: Options, found: argparse.Namespace) -> None:
    """Raise BadInput for options that make no sense in a job."""
    if found.keep_failed:
        raise BadInput("--keep-failed and --submit cannot be used together.", "Omit one of them.")
    if wanted.lock and not replays(wanted):
        raise BadInput(
            f"With --submit, --lock cannot write {wanted.lock}.", "Bake once without --submit to write it."
        )


def _arguments(found: argparse.Namespace) -> Iterator[str]:
    given = vars(found)
    yield from (f"{flag}={given[name]}" for name, flag in VALUES if given[name])
    yield from (flag for name, flag in FLAGS if given[name])
    for name, flag in LISTS:
        yield from (f"{flag}={value}" for value in given[name])
