"""condor_master as a child of ours, where no systemd runs it: started, asked to end, started again."""

import resource
import signal
import subprocess
import time
from typing import Dict, Mapping, Optional

from worker_runtime.system import exit_marker

ARGV = ["condor_master", "-f"]
# As the unit has it: nobody looks at a job's core; a job that forks without end stops here.
_LIMITS = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, 4096))
RESTART_SECONDS = 5
# "reload" is what the unit does: HTCondor reads its configuration and tokens again.
_SIGNALS = {"reload": signal.SIGHUP, "stop": signal.SIGTERM, "fast": signal.SIGQUIT, "kill": signal.SIGKILL}
_NORMAL_EXIT = (0, 99)  # 99: "do not start me again", after DAEMON_SHUTDOWN


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
        # A group of its own, so that ^C on a terminal reaches it only through us.
        self._process = subprocess.Popen(
            ARGV,
            stdin=subprocess.DEVNULL,
            env=self._environment,
            preexec_fn=limits,
            start_new_session=True,
        )

    def unit(self) -> Dict[str, str]:
        """As systemd would say it; a crash is repaired on the way."""
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
        """None while it runs."""
        return self._process.poll() if self._process else 0

    def order(self, what: str) -> None:
        """ "stop": as soon as jobs have ended or were told to; "fast": at once; "kill". "reload": go on."""
        if what in _SIGNALS and self._process and self.status() is None:
            self._asked = self._asked or what not in ("stop", "reload")
            self._process.send_signal(_SIGNALS[what])

    def do_not_restart(self) -> None:
        """Its end is asked for, and is no crash."""
        self._asked = True


def _limit() -> None:
    for what, most in _LIMITS:
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))
