"""The job of the image that the command line of bake describes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from bakery.bake.options import Options, apt_sources, check, make_plan
from bakery.output.formats import FORMATS
from bakery.submit.images import JobImage
from provisioner.errors import BadInput

# The options of the image that have a value, those that have none, and those that are repeatable.
VALUES = (
    ("worker", "--worker"), ("format", "--format"), ("arch", "--arch"), ("mirror", "--mirror"),
    ("family", "--family"), ("sha256", "--sha256"), ("login", "--login"),
    ("cvmfs_repositories", "--cvmfs-repositories"), ("cvmfs_proxy", "--cvmfs-proxy"),
    ("cvmfs_quota", "--cvmfs-quota"), ("engine", "--engine"), ("accel", "--accel"),
    ("checkpoints", "--checkpoints"),
)  # fmt: skip
FLAGS = (
    ("offline", "--offline"), ("forbid_eol", "--forbid-eol"), ("rebuild_base", "--rebuild-base"),
    ("keep_repository_urls", "--keep-repository-urls"),
)  # fmt: skip
LISTS = (
    ("optional", "--with"), ("base_urls", "--base-url"), ("repository_urls", "--repository-url"),
)  # fmt: skip


def image_of_options(found: argparse.Namespace, wanted: Options) -> JobImage:
    """The job of the image that the command line describes. Raises BadInput, as a bake does."""
    if found.keep_failed:
        raise BadInput("--keep-failed and --submit cannot be used together.", "Omit one of them.")
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
    for name, flag in VALUES:
        if given[name]:
            yield f"{flag}={given[name]}"
    yield from (flag for name, flag in FLAGS if given[name])
    for name, flag in LISTS:
        yield from (f"{flag}={value}" for value in given[name])


def _transferred(found: argparse.Namespace, wanted: Options) -> tuple[list[str], dict[str, Path | bytes]]:
    """The options that name files of this machine, as they are in the job, and these files."""
    more: list[str] = []
    files: dict[str, Path | bytes] = {}

    def add(flag: str, path: str, source: Path | bytes) -> None:
        more.append(f"{flag}{path}")
        files[path] = source

    if found.base_image:
        add("--base-image=", f"base-image/{found.base_image.name}", found.base_image)
    elif found.base.endswith(".toml"):
        add("--base=", "base.toml", Path(found.base))
    if sources := apt_sources(wanted):  # without references to files of this machine
        add("--apt-source=", "apt.sources", sources.encode())
    if found.pelican:
        add("--pelican=", f"pelican/{found.pelican.name}", found.pelican)
    for number, text in enumerate(found.repository_keys):
        name, _, path = text.partition("=")
        add(f"--repository-key={name}=", f"repository-key-{number}", Path(path))
    return more, files
