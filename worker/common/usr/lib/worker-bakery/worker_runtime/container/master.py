"""Runs condor_master as a child process where systemd does not: starts, stops and restarts it."""

import resource
import signal
import subprocess
import time
from typing import Dict, Mapping, Optional

from worker_runtime.system import exit_marker

ARGV = ["condor_master", "-f"]
# As in the unit: no core files of jobs, and a limit for jobs that fork without end.
_LIMITS = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, 4096))
RESTART_SECONDS = 5
# "reload" does the same as for the unit: HTCondor reads its configuration and tokens again.
_SIGNALS = {
    "reload": signal.SIGHUP,
    "drain": signal.SIGTERM,
    "stop": signal.SIGTERM,
    "fast": signal.SIGQUIT,
    "kill": signal.SIGKILL,
}
_NORMAL_EXIT = (0, 99)  # 99: do not restart, after DAEMON_SHUTDOWN


class Master:
    """One condor_master at a time."""

    def __init__(self, environment: Mapping[str, str], limited: bool) -> None:
        self._environment = dict(environment)
        self._limited = limited
        self._process: "Optional[subprocess.Popen[bytes]]" = None
        self._asked = False
        self._died = 0.0

    def start(self) -> None:
        exit_marker.clear()
        limits = _limit if self._limited else None
        # In its own session, so that Ctrl-C on a terminal reaches it only through this process.
        self._process = subprocess.Popen(
            ARGV,
            stdin=subprocess.DEVNULL,
            env=self._environment,
            preexec_fn=limits,
            start_new_session=True,
        )

    def unit(self) -> Dict[str, str]:
        """The properties that systemd would report; restarts condor_master after a crash."""
        status = self.status()
        if status is None:
            return {"ActiveState": "active"}
        if status in _NORMAL_EXIT or self._asked:
            if not self._asked:
                exit_marker.create()
            return {"ActiveState": "inactive"}
        self._died = self._died or time.monotonic()
        if time.monotonic() >= self._died + RESTART_SECONDS:
            self._died = 0.0
            self.start()
        return {"ActiveState": "activating"}

    def status(self) -> Optional[int]:
        """The exit status; None while it runs."""
        return self._process.poll() if self._process else 0

    def order(self, action: str) -> None:
        """Send the signal for an action.

        "drain": when jobs have ended, by the settings of lifecycle/drain.py; "stop": when jobs have ended
        or were asked to; "fast": at once; "kill"; "reload": read the
        configuration.
        """
        if action in _SIGNALS and self._process and self.status() is None:
            self._asked = self._asked or action not in ("drain", "stop", "reload")
            self._process.send_signal(_SIGNALS[action])

    def do_not_restart(self) -> None:
        """From now on, its end is not treated as a crash."""
        self._asked = True


def _limit() -> None:
    for action, most in _LIMITS:
        _, hard = resource.getrlimit(action)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(action, (allowed, allowed))
