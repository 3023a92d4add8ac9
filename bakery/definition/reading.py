"""Read definition files: FILE.toml -> the options of each image in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from bakery.bake.options import Options
from bakery.definition import beside, image_options, layers, model, texts
from bakery.definition.beside import Folder
from bakery.definition.layers import Layered
from bakery.definition.mistakes.problems import Source, Wrong, at
from bakery.output.formats import FORMATS
from provisioner import named_file
from provisioner.errors import BadInput
from provisioner.process.scrub import has_secret

Labelled = tuple[str, Options]
_EXAMPLE = 'Write at least base = "debian13".'
_SYNTAX = re.compile(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)
# The message of the parser, the line, and the hint.
_HINTS = (
    ("Invalid value", "", 'Text is written in quotes: name = "worker".'),
    ("Expected newline", r"=\s*0[0-9_]", 'A number cannot begin with 0. A mode is text: mode = "0644".'),
    ("Cannot overwrite", "", "The key is set twice. Remove one of them."),
    ("Cannot declare", "", "The table is in the file twice. Write its keys in one place."),
)


def read(paths: Sequence[Path]) -> tuple[Labelled, ...]:
    """The images of the files, in their order, by names that differ. Raises BadInput.

    The options that belong to the build host have their defaults.
    """
    found: dict[str, tuple[Path, Options]] = {}
    for path in paths:
        for label, options in _read(path):
            if label in found:
                first = found[label][0]
                where = f"also in {first}" if first != path else "twice"
                raise BadInput(f"{path}: the image {label} is defined {where}.", "Set another name.")
            _refuse_shared_output(path, options, [other for _, other in found.values()])
            found[label] = (path, options)
    return tuple((label, options) for label, (_, options) in found.items())


def _refuse_shared_output(path: Path, options: Options, others: Sequence[Options]) -> None:
    if options.output and options.output in [other.output for other in others]:
        message = f"{path}: two images have the output {options.output}."
        raise BadInput(message, "Set another output, or a folder with a final /.")


def _read(path: Path) -> Iterator[Labelled]:
    source = Source(path, _text(path))
    document = _document(source)
    try:
        yield from _images(document, path)
    except Wrong as wrong:
        raise source.error(wrong) from None


def _text(path: Path) -> str:
    try:
        data = named_file.content(path)
        text = data.decode()
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}.", beside.similar(path)) from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder.", "Give the path of a definition file.") from None
    except OSError as error:
        raise BadInput(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise at(path, row, "the file is not UTF-8.", "Save it as UTF-8.") from None
    if has_secret(text):
        row = next((n for n, line in enumerate(text.split("\n"), 1) if has_secret(line)), 0)
        message = "the file contains a token, and images must not contain secrets."
        raise at(path, row, message, texts.TOKEN_HINT)
    return text.removeprefix("\ufeff")  # the byte order mark of some editors


def _document(source: Source) -> dict[str, Any]:
    """The content of the file, which has the structure of the model. Raises BadInput."""
    try:
        document = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(source, str(error)) from None
    except RecursionError:
        raise BadInput(f"{source.path}: arrays or tables are nested too deeply.") from None
    if not document:
        raise BadInput(f"{source.path} is empty.", _EXAMPLE)
    try:
        texts.check(document)
        msgspec.convert(document, model.Definition)
    except Wrong as wrong:
        raise source.error(wrong) from None
    except msgspec.ValidationError as error:
        raise _structure(source, document, str(error)) from None
    return document


def _syntax(source: Source, message: str) -> BadInput:
    found = _SYNTAX.match(message)
    if not found:
        return at(source.path, 0, f"not valid TOML: {message}.")
    row = int(found[2]) if found[2] else source.text.rstrip("\n").count("\n") + 1
    column = f" (column {found[3]})" if found[3] else " (the file ends there)"
    line = source.text.split("\n")[row - 1]
    hint = next(
        (hint for form, text, hint in _HINTS if re.match(form, found[1]) and re.search(text, line)), ""
    )
    return at(source.path, row, f"not valid TOML: {found[1]}{column}.", hint)


def _structure(source: Source, document: dict[str, Any], message: str) -> BadInput:
    from bakery.definition.mistakes import structure

    for wrong in structure.mistakes(model.Definition, document):
        return source.error(wrong)
    return at(source.path, 0, f"{message}.")


def _images(document: dict[str, Any], path: Path) -> Iterator[Labelled]:
    folder, found = Folder(path.parent), list(layers.images(document))
    for one in found:
        try:
            yield _labelled(one, path, folder, several=len(found) > 1)
        except Wrong as wrong:
            raise Wrong(one.origin(wrong.place) or one.table, wrong.message, wrong.hint) from None


def _labelled(one: Layered, path: Path, folder: Folder, *, several: bool) -> Labelled:
    image = msgspec.convert(one.keys, model.Image)
    label = f"{image.name or path.stem}{one.suffix}"
    options = image_options.options(image, one.keys, label, folder)
    if not image.output:
        return label, options
    if several and not image.output.endswith("/"):
        message = "output is one file, and there are several images."
        raise Wrong(("output",), message, "Give a folder: a path that ends in /.")
    return label, replace(options, output=in_folder(options, label)) if image.output.endswith(
        "/"
    ) else options


def in_folder(options: Options, label: str) -> Path | None:
    """The path of an image in the folder `options.output`."""
    return options.output and options.output / f"{label}{FORMATS[options.format].suffix}"
