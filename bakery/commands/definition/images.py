"""The images of the definition files on a command line, with the options of the build host."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands import bake_options
from bakery.commands.bake_options import ROLES
from bakery.commands.command_line.settings import Settings
from provisioner import did_you_mean
from provisioner.errors import BadInput

if TYPE_CHECKING:
    from bakery.bake.options import Options
    from bakery.image.repositories import Replaced

Item = tuple[str, "Options"]

# The options that a definition replaces, with its keys. All others are for the build host.
KEYS: Mapping[str, str] = {
    "--base": "base",
    "--worker": "worker",
    "--with": "[roles.NAME]",
    "--compat": "compat",
    "--format": "format",
    "--base-image": "base.path",
    "--arch": "arch",
    "--family": "base.family",
    "--sha256": "base.sha256",
    "--login": "base.login",
    "--apt-source": "apt-sources",
    "--pelican": "roles.ospool.pelican",
    "--cvmfs-repositories": "roles.cvmfs.repositories",
    "--cvmfs-proxy": "roles.cvmfs.proxy",
    "--cvmfs-quota": "roles.cvmfs.quota",
    "--repository-key": "repository-keys",
    "--keep-repository-urls": "keep-repository-urls",
}


def images(found: argparse.Namespace, argv: Sequence[str], settings: Settings) -> tuple[Item, ...]:
    """Read the files of the command line `argv`. Raises BadInput."""
    from bakery.definition import reading

    for path in found.files:
        _check_path(path)
    _refuse_replaced(found.files, argv)
    items = reading.read(found.files)
    output = _folder(found.output, several=len(items) > 1)
    return tuple((label, _on_host(label, one, output, found, settings)) for label, one in items)


def _check_path(path: Path) -> None:
    """Raise BadInput for a word that was not meant to be a file."""
    if path.suffix == ".toml" or path.exists():
        return
    hint = _meant(str(path)) or "Give the path of a TOML file."
    raise BadInput(f"There is no definition file {str(path)!r}.", hint)


def _meant(word: str) -> str:
    from bakery.runtime import data

    bases = [path.stem for path in data.BASES.glob("*.toml")]
    options = {"--base": bases, "--with": ROLES, "--worker": bake_options.KINDS}
    for option, names in options.items():
        if similar := did_you_mean.similar(word, names):
            return f"Did you mean {option} {similar[0]}?"
    if Path(f"{word}.toml").is_file():
        return f"Did you mean {word}.toml?"
    return ""


def _refuse_replaced(files: Sequence[Path], argv: Sequence[str]) -> None:
    flags = [word.partition("=")[0] for word in argv]
    for flag, key in KEYS.items():
        if flag in flags:
            raise BadInput(f"{flag} cannot be used with a definition file.", f"Set {key} in {files[0]}.")


def _folder(output: Path | None, *, several: bool) -> Path | None:
    """The value of --output, which for several images is a folder."""
    if output and several and not output.is_dir():
        message = f"--output {output} is not a folder, and there are several images."
        raise BadInput(message, "Give an existing folder.")
    return output


def _on_host(
    label: str, wanted: Options, output: Path | None, found: argparse.Namespace, settings: Settings
) -> Options:
    from bakery.definition import reading

    if output:
        wanted = replace(wanted, output=output)
        if output.is_dir():
            wanted = replace(wanted, output=reading.in_folder(wanted, label))
    if found.verify:
        wanted = replace(wanted, level=found.verify)
    if found.repository_urls:
        wanted = replace(wanted, replaced=_with_mirrors(wanted.replaced, found.repository_urls))
    return bake_options.on_build_host(wanted, found, settings)


def _with_mirrors(replaced: Replaced, given: Sequence[str]) -> Replaced:
    """With the mirrors of this build host, which the image does not contain. Raises BadInput."""
    from bakery.image import repositories

    if replaced.keep:
        message = "--repository-url cannot be used with keep-repository-urls."
        raise BadInput(message, "Set repository-urls in the definition file.")
    mirrors = repositories.parse_options(given, (), keep=False).urls
    return replace(replaced, urls={**replaced.urls, **mirrors})
