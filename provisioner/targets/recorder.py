"""A target that only records actions, for tests."""

from __future__ import annotations

from provisioner.actions import Action, Put, Run
from provisioner.targets import OnLine


class Recorder:
    """Records actions in `actions`."""

    def __init__(self) -> None:
        self.actions: list[Action] = []

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        self.actions.append(Run(argv))

    def put(self, path: str, data: bytes, mode: int) -> None:
        self.actions.append(Put(path, data, mode))
