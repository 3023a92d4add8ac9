"""Asks systemd for the state of units and of the machine, with a time limit."""

import os
import socket
from typing import Dict

from worker_runtime.system.command import run

CONDOR_UNIT = "condor.service"
WATCH_UNIT = "worker-life.service"
RUNNING = "/run/systemd/system"  # exists where systemd is PID 1, see sd_booted(3)
SECONDS = 20


def parse_properties(shown: str) -> Dict[str, str]:
    """The output of `systemctl show`. (--value and $SERVICE_RESULT are too new for EL7.)"""
    pairs = (line.partition("=") for line in shown.splitlines())
    return {name: value for name, _, value in pairs}


def properties(unit: str, *names: str) -> Dict[str, str]:
    """These properties of a unit; empty if systemd does not answer."""
    options = [option for name in names for option in ("-p", name)]
    done = run(["systemctl", "show", *options, unit], SECONDS)
    return parse_properties(done.out) if done.status == 0 else {}


def active_state(unit: str) -> str:
    """The ActiveState of a unit; "" without systemd, or without an answer."""
    return properties(unit, "ActiveState").get("ActiveState", "")


def is_booting() -> bool:
    """Whether the machine is still booting."""
    # The exit status is not 0 then, and releases of systemd add new states; these two are stable.
    state = run(["systemctl", "is-system-running"], SECONDS).out.strip()
    return state in ("initializing", "starting")


def notify(message: bytes) -> None:
    """Send systemd a message. (The protocol of sd_notify(3): a datagram to NOTIFY_SOCKET.)"""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        try:
            notifier.sendto(message, address)
        except OSError:
            return
