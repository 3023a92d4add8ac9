"""What packer says under -machine-readable, one line each: `unixtime,target,category,data…`.

In data a comma is `%!(PACKER_COMMA)`, a newline `\\n`, a carriage return `\\r`; a backslash is not escaped,
so that one before an n cannot be told from a newline. Source: packer/ui.go of hashicorp/packer, the
same from 1.6.6 to 1.16. From 1.13 on, messages come as `ui,say` (its issue 13556), before as `ui,message`.

Our own provisioner (`python -m bakery.engines.packer.guest`) speaks through packer: a line of its that
begins with EVENT is an event of provisioner.events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bakery.engines.packer.guest import EVENT, unescape
from provisioner.events import Event

_COMMA = "%!(PACKER_COMMA)"
# How packer begins each line of what one of its builds says.
_PREFIX = re.compile(r"^(?:==>|-->|   ) ?(?:[\w.-]+)(?: \([\w.-]+\))?: ?")
# Errors that only say that there is one.
_HEADINGS = ("Build '", "==> Some builds")


@dataclass(frozen=True)
class Message:
    """A line of packer's. `target` is the build, "" for packer itself; `kind` e.g. ui, error, artifact."""

    target: str
    kind: str
    data: tuple[str, ...]

    @property
    def is_error(self) -> bool:
        return self.kind == "error" or (self.kind == "ui" and self.data[:1] == ("error",))


@dataclass(frozen=True)
class Artifact:
    """What a build left: the files that packer names."""

    builder: str
    files: tuple[str, ...]


def parse(line: str) -> Message | None:
    """None for what is no line of this format: a panic, or the warning of a library."""
    fields = line.rstrip("\r\n").split(",")
    if len(fields) < 3 or not fields[0].isdigit():
        return None
    return Message(fields[1], fields[2], tuple(map(_decode, fields[3:])))


def _decode(text: str) -> str:
    return text.replace(_COMMA, ",").replace("\\n", "\n").replace("\\r", "\r")


def events(message: Message) -> Iterator[Event]:
    """A line of packer's as events: those of our provisioner, everything else as output."""
    if message.kind != "ui" or len(message.data) < 2:
        return
    for row in message.data[1].splitlines():
        text = _PREFIX.sub("", row).strip()
        event = _own(text)
        if event or text:
            yield event or {"event": "line", "text": text}


def _own(text: str) -> Event | None:
    if not text.startswith(EVENT):
        return None
    try:
        event: Event = json.loads(unescape(text.removeprefix(EVENT)))
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def errors(lines: list[Message]) -> list[str]:
    """What packer calls the reasons, without its prefixes and headings, each told once."""
    texts = [message.data[-1].strip() for message in lines if message.is_error and message.data]
    reasons = [_PREFIX.sub("", text) for text in texts if not text.startswith(_HEADINGS)]
    return list(dict.fromkeys(reason for reason in reasons if reason))


def artifacts(lines: list[Message]) -> list[Artifact]:
    """Of the lines `artifact,N,KEY,VALUE…`, which end with `artifact,N,end`."""
    builder, files, found = "", [], []
    for message in lines:
        if message.kind != "artifact":
            continue
        match message.data[1:]:
            case ("builder-id", name):
                builder = name
            case ("file", _, path):
                files.append(path)
            case ("end",):
                found.append(Artifact(builder, tuple(files)))
                builder, files = "", []
    return found
