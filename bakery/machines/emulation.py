"""Limit how many virtual machines are emulated at the same time.

With software emulation, a virtual machine keeps each of its processors busy while it boots. More machines
than the host has processors for take longer together than one after the other, and exceed their time limits
sooner. Measured with two processors by `scripts/bench batch --verify pool`, in seconds of processor time:
920 for four images of which two are proven at the same time, 660 one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from bakery.machines import vm
from bakery.machines.accelerator import TCG, Accelerator
from bakery.store import locks
from bakery.store.store import default_root
from provisioner.events import Monitor, note

_CPUS = vm.Settings.cpus  # packer/worker.pkr.hcl has as many


@contextmanager
def turn(accelerator: Accelerator, monitor: Monitor) -> Iterator[None]:
    """Wait until this host has processors for another emulated machine, and keep them during the block.

    The processes of one user (of one cache) take turns. Does nothing for machines with KVM.
    """
    paths = [default_root() / "emulation" / str(number) for number in range(places(os.cpu_count() or 1))]
    on_wait = partial(note, monitor, "Waiting until another emulated machine has ended.")
    with locks.one_lock_of(paths, on_wait) if accelerator == TCG else nullcontext():
        yield


def places(processors: int) -> int:
    """Return how many machines a host with so many processors can emulate at the same time, at least 1."""
    return max(1, processors // _CPUS)
