"""What the job of one image needs, as data: checked here, so that DAGMan and the shell may read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from provisioner.errors import BadInput

# A node's name may have no blank, no "." and no "+", and may not be one of the reserved words (HTCondor
# manual, "DAGMan Introduction"; src/condor_dagman/parse.cpp).
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = frozenset({"parent", "child", "all_nodes"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class JobImage:
    """An image for a job of its own.

    `arguments` are those of `worker-bakery bake`, without -o, --verify and --json; relative paths in them
    are looked up in the folder of the inputs. `files` maps such a path to the file or folder here, or to
    the content of a file. `output` is the absolute path of the image here; its manifest is beside it.
    `level` is the verification level that the user demands; "" leaves it to the execute node.
    `architecture` is x86_64 or aarch64.
    """

    label: str
    output: Path
    architecture: str
    arguments: tuple[str, ...] = ()
    files: Mapping[str, Path | bytes] = field(default_factory=dict)
    level: str = ""

    @property
    def node(self) -> str:
        """The name of its node in the DAG, and of the node's folder."""
        return self.label.replace(".", "_")

    @property
    def manifest(self) -> Path:
        """The path of the manifest, beside the image as in the cache (bakery/store/store.py)."""
        return self.output.with_suffix(".json")

    @property
    def image(self) -> str:
        """The name of the image file in the job: a fixed word, and the suffix of `output`."""
        suffix = self.output.suffix
        return f"image{suffix}" if re.fullmatch(r"\.[A-Za-z0-9]+", suffix) else "image"


def check(images: Sequence[JobImage]) -> None:
    """Raises BadInput: a label, an argument, a path or a file cannot be used, or two images clash."""
    if not images:
        raise BadInput("There is no image to submit.")
    for image in images:
        _check_label(image.label)
        _check_lines(image)
        _check_output(image)
        for path, source in image.files.items():
            _check_file(image.label, path, source)
    _refuse_same("name", {image.label: image.node for image in images}, len(images))
    _refuse_same("output", {image.label: str(image.manifest) for image in images}, len(images))


def _refuse_same(what: str, values: Mapping[str, str], number: int) -> None:
    labels: dict[str, str] = {}
    for label, value in values.items():
        if value in labels:
            raise BadInput(
                f"The images {labels[value]} and {label} would have the same {what} ({value}).",
                "Give each image a name and an output of its own.",
            )
        labels[value] = label
    if len(labels) < number:
        raise BadInput("Two images have the same label.", "Give each image a name of its own.")


def _check_label(label: str) -> None:
    if not _LABEL.fullmatch(label) or label.lower() in _RESERVED:
        raise BadInput(
            f"{label!r} cannot be the name of a node of a DAG.",
            "Use letters, digits, '-', '_' and '.'; begin with a letter or a digit.",
        )


def _check_lines(image: JobImage) -> None:
    """The files `arguments` and `collect` of a node have one value on each line."""
    for text in (*image.arguments, str(image.output)):
        if _CONTROL.search(text):
            raise BadInput(
                f"{image.label}: {text!r} contains a control character.",
                "Paths and arguments of jobs must not contain any.",
            )


def _check_output(image: JobImage) -> None:
    if not image.output.is_absolute():
        raise BadInput(f"{image.label}: the output path {image.output} is not absolute.")
    if image.manifest == image.output:
        raise BadInput(
            f"{image.label}: {image.output} is the path of the manifest.", "Choose another with -o."
        )


def _check_file(label: str, path: str, source: Path | bytes) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or _CONTROL.search(path):
        raise BadInput(f"{label}: {path!r} is not a relative path without '..'.")
    if isinstance(source, Path) and not source.exists():
        raise BadInput(f"{label}: there is no file {source}.")
