"""The two actions of plans, Run and Put. Every step lowers to these; a target supports only these."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """Run a program as root; an exit status other than 0 fails the plan."""

    argv: tuple[str, ...]


@dataclass(frozen=True)
class Put:
    """Write a file owned by root, creating its parent folders as needed."""

    path: str
    data: bytes
    mode: int


Action = Run | Put


def to_json(action: Action) -> dict[str, Any]:
    """`{"run": argv}` or `{"put": path, "mode": octal, "text" or "base64": content}`."""
    match action:
        case Run(argv):
            return {"run": list(argv)}
        case Put(path, data, mode):
            try:
                content = {"text": data.decode("utf-8")}
            except UnicodeDecodeError:
                content = {"base64": base64.b64encode(data).decode("ascii")}
            return {"put": path, "mode": f"{mode:04o}", **content}


def from_json(data: dict[str, Any]) -> Action:
    """The inverse of `to_json`."""
    if "run" in data:
        return Run(tuple(data["run"]))
    encoded = data.get("base64")
    content = base64.b64decode(encoded) if encoded is not None else data["text"].encode("utf-8")
    return Put(data["put"], content, int(data["mode"], 8))
