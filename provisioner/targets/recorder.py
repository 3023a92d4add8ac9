"""A target that only remembers: what a plan would do, for tests."""

from __future__ import annotations

from provisioner.actions import Action, Put, Run
from provisioner.targets import OnLine


class Recorder:
    def __init__(self) -> None:
        self.actions: list[Action] = []

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        self.actions.append(Run(argv))

    def put(self, path: str, data: bytes, mode: int) -> None:
        self.actions.append(Put(path, data, mode))
