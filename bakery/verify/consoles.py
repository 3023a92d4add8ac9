"""The consoles of machines: kept in the log of the verification, their digests in the proof."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bakery.machines import namespace, vm
from bakery.verify.level import LevelContext
from provisioner.events import keep_log
from provisioner.process.scrub import scrub


def path(context: LevelContext) -> Path:
    """Return where the machine in the work folder of `context` writes its console."""
    return context.work / (vm.SERIAL if context.request.machine == "vm" else namespace.CONSOLE)


def keep(context: LevelContext, name: str = "") -> str:
    """Keep the console of a machine that has ended in the log; return the SHA-256 of the kept file.

    With a name, the file is renamed to NAME-FILE: the next boot of the machine would overwrite it. Returns
    "" if no machine was booted.
    """
    console = path(context)
    if not console.exists():
        return ""
    if name:
        console = console.rename(console.with_name(f"{name}-{console.name}"))
    keep_log(context.monitor, console)
    return hashlib.sha256(scrub(console.read_text("utf-8", "replace")).encode()).hexdigest()
