"""The files that a definition names.

Paths are relative to the definition file. Absolute paths and `..` are allowed, because they show where they
lead; a symbolic link that leads out of the folder without them is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bakery.definition import texts
from bakery.definition.mistakes import positions
from bakery.definition.mistakes.problems import Wrong, name
from provisioner import did_you_mean, named_file
from provisioner.errors import BadInput
from provisioner.process.scrub import has_secret


@dataclass(frozen=True)
class Folder:
    """The folder of a definition file."""

    path: Path

    def find(self, place: positions.Path, text: str) -> Path:
        """The path of a file that exists and can be read. Raises Wrong."""
        found = self.path / text
        self._check_link(place, text, found)
        try:
            named_file.refuse_waiting(found)
            with found.open("rb"):
                return found
        except BadInput as error:
            raise Wrong(place, f"{name(place)}: {error.message}", error.hint) from None
        except FileNotFoundError:
            if found.is_symlink():
                message = f"{name(place)}: {found} is a link to {found.readlink()}, which does not exist."
                raise Wrong(place, message) from None
            raise Wrong(place, f"{name(place)}: there is no file {found}.", similar(found)) from None
        except IsADirectoryError:
            raise Wrong(place, f"{name(place)}: {found} is a folder.", "Give the path of a file.") from None
        except OSError as error:
            raise Wrong(place, f"{name(place)}: cannot read {found}: {error.strerror}.") from None

    def read(self, place: positions.Path, text: str) -> bytes:
        """The content of a file. Raises Wrong if there is none, or if it contains a token."""
        found = self.find(place, text)
        try:
            data = named_file.content(found, named_file.DATA_LIMIT)
        except BadInput as error:
            raise Wrong(place, f"{name(place)}: {error.message}", error.hint) from None
        except OSError as error:
            raise Wrong(place, f"{name(place)}: cannot read {found}: {error.strerror}.") from None
        if has_secret(data.decode("utf-8", "replace")):
            raise texts.token(place, f"{name(place)}: {found}")
        return data

    def _check_link(self, place: positions.Path, text: str, found: Path) -> None:
        if Path(text).is_absolute() or ".." in Path(text).parts:
            return
        try:
            real = found.resolve(strict=True)
        except (OSError, RuntimeError):  # a later step has the message; RuntimeError: a loop of links
            return
        if not real.is_relative_to(self.path.resolve()):
            message = f"{name(place)}: {found} is a link to {real}, outside the folder of the definition."
            raise Wrong(place, message, "Give that path instead.")


def similar(path: Path) -> str:
    """A hint for the path of a file that does not exist."""
    try:
        names = [one.name for one in path.parent.iterdir()]
    except OSError:
        return f"There is no folder {path.parent}." if not path.parent.exists() else ""
    return did_you_mean.did_you_mean(path.name, names)
