"""Parse the output of `packer -machine-readable`: lines of `unixtime,target,category,data…`.

In data a comma is written `%!(PACKER_COMMA)`, a newline `\\n`, a carriage return `\\r`. Backslashes are not
escaped: a backslash before an n cannot be distinguished from a newline. Source: packer/ui.go of
hashicorp/packer, unchanged from 1.6.6 to 1.16. Messages are `ui,say` since 1.13 (packer issue 13556),
`ui,message` before.

Our own provisioner (`python -m bakery.engines.packer.guest`) prints through packer: its lines that begin
with EVENT are events of provisioner.events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bakery.engines.packer.guest import EVENT, unescape
from provisioner.events import Event

_COMMA = "%!(PACKER_COMMA)"
# The prefix that packer adds to each line of a build.
_PREFIX = re.compile(r"^(?:==>|-->|   ) ?(?:[\w.-]+)(?: \([\w.-]+\))?: ?")
# Headings of error lists, without a reason of their own.
_HEADINGS = ("Build '", "==> Some builds")


@dataclass(frozen=True)
class Message:
    """One line of output. `target` is the build ("" for packer itself); `kind` e.g. ui, error, artifact."""

    target: str
    kind: str
    data: tuple[str, ...]

    @property
    def is_error(self) -> bool:
        """Whether the line reports an error, of packer or of a build."""
        return self.kind == "error" or (self.kind == "ui" and self.data[:1] == ("error",))


@dataclass(frozen=True)
class Artifact:
    """The files that a build produced, as reported by packer."""

    builder: str
    files: tuple[str, ...]


def parse(line: str) -> Message | None:
    """Parse a line; None if it does not have this format (a panic, a warning of a library)."""
    fields = line.rstrip("\r\n").split(",")
    if len(fields) < 3 or not fields[0].isdigit():
        return None
    return Message(fields[1], fields[2], tuple(map(_decode, fields[3:])))


def _decode(text: str) -> str:
    return text.replace(_COMMA, ",").replace("\\n", "\n").replace("\\r", "\r")


def events(message: Message) -> Iterator[Event]:
    """The events in a message: those of our provisioner, and all other text as output lines."""
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
    """The distinct error messages, without packer's prefixes and headings."""
    texts = [message.data[-1].strip() for message in lines if message.is_error and message.data]
    reasons = [_PREFIX.sub("", text) for text in texts if not text.startswith(_HEADINGS)]
    return list(dict.fromkeys(reason for reason in reasons if reason))


def artifacts(lines: list[Message]) -> list[Artifact]:
    """Collect the artifacts from lines `artifact,N,KEY,VALUE…`; `artifact,N,end` ends each one."""
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
