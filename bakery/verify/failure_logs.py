"""Add to the failure of a machine its diagnosis, and the last lines of its console and of the logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.machines import namespace, serial, vm
from bakery.runtime import qemu_img
from bakery.verify import consoles
from bakery.verify.level import LevelContext
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BakeryError, NotProven
from provisioner.events import keep_log


@contextmanager
def added(context: LevelContext, pool: Pool) -> Iterator[None]:
    """Add them to a NotProven that leaves the block, with which the machine in `context.work` has ended.

    Raises NotProven.
    """
    try:
        yield
    except NotProven as error:
        raise _with_logs(error, context, pool) from None


def _with_logs(error: NotProven, context: LevelContext, pool: Pool) -> NotProven:
    virtual_machine = context.request.machine == "vm"
    console = _text(consoles.path(context))
    diagnosis = serial.diagnose(console) if virtual_machine else None
    for name in (vm.SERIAL, vm.QEMU_LOG, namespace.CONSOLE):
        if (context.work / name).exists():
            keep_log(context.monitor, context.work / name)
    parts = [
        f"{error.message} {diagnosis}"
        if diagnosis and str(diagnosis) not in error.message
        else error.message,
        "The last lines of its console:",
        serial.last_lines(console),
        *(["The worker's logs:", _worker_logs(context)] if virtual_machine else []),
        "The pool's logs:",
        pool.logs(),
        "",
    ]
    with_logs = NotProven("\n".join(parts), error.hint or (diagnosis.hint if diagnosis else ""))
    with_logs.where = error.where
    return with_logs


def _text(file: Path) -> str:
    return file.read_text("utf-8", "replace") if file.exists() else ""


def _worker_logs(context: LevelContext) -> str:
    root = context.work / "failed-root"
    try:
        root.mkdir()
        qemu_img.to_raw(context.work / vm.DISK, context.work / "failed.raw")
        mount_root(context.work / "failed.raw", root, read_only=True)
    except BakeryError as problem:
        return f"(cannot read its disk: {problem})"
    return pools.condor_logs(root, ("MasterLog", "StartLog"))
