"""Build hook of the wheel: completion scripts and manual pages, made from the parsers, go to share/."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Where bash-completion, zsh and fish look in a prefix, and the name of the file there.
COMPLETIONS = {
    "bash": "share/bash-completion/completions/{}",
    "zsh": "share/zsh/site-functions/_{}",
    "fish": "share/fish/vendor_completions.d/{}.fish",
}
MANUAL = "share/man/man1/{}.1"


class Hook(BuildHookInterface[Any]):
    """Adds the files to a wheel, also to that of an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, self.root)
        try:
            files = share()
        finally:
            sys.path.remove(self.root)
        self._folder = tempfile.TemporaryDirectory(prefix="worker-bakery-share-")
        for name, text in files.items():
            path = Path(self._folder.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            build_data["shared_data"][str(path)] = name

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._folder.cleanup()


def share() -> dict[str, str]:
    """Each file, by its path in the prefix of an installation."""
    from bakery.commands.command_line import completion, manual

    scripts = {
        COMPLETIONS[shell].format(program): text
        for shell in completion.SHELLS
        for program, text in completion.scripts(shell)
    }
    return scripts | {MANUAL.format(name): text for name, text in manual.pages()}
