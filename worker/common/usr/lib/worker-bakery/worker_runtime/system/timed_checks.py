"""Runs checks that may hang, each in a process of its own with a time limit.

A system call on a hung mount cannot be ended, not even by SIGKILL. Such a process is left behind: it is
never waited for, it is remembered, and the same check is not started again while it exists.
"""

import json
import os
import select
import signal
import time
from contextlib import suppress
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, NoReturn, Optional, Sequence

from worker_runtime.system import files

_OK = b"+"
_PROBLEM = b"-"
_MAX_ANSWER = 4096  # bytes; a pipe accepts as many without blocking the writer
_KILLED_WITHIN = 1.0  # seconds for the kernel to end what SIGKILL can end


class Detail(str):
    """What a check returns instead of None if it succeeded and has something to report."""


class Check(NamedTuple):
    """A check with its time limit in seconds."""

    name: str
    seconds: float
    run: Callable[[], Optional[str]]  # returns what is wrong; None or a Detail if the check succeeded


class Answer(NamedTuple):
    """The result of a check."""

    ok: bool
    text: str  # the detail of a success, or what is wrong


class Session(NamedTuple):
    """The processes of one check: whatever the check starts stays in its session."""

    leader: int
    started: int  # clock ticks since boot, as in /proc
    at: int  # seconds since the epoch


class Process(NamedTuple):
    """What /proc/PID/stat says about a process."""

    pid: int
    state: str
    session: int
    started: int


class Running(NamedTuple):
    """A check that has been started."""

    check: Check
    session: Session
    answer: int  # the reading end of the pipe
    deadline: float  # monotonic


def problems(checks: Sequence[Check], memory: str) -> List[str]:
    """The failed checks as "NAME: REASON", in the order of the checks. See run_checks()."""
    found = run_checks(checks, memory)
    return ["%s: %s" % (one.name, found[one.name].text) for one in checks if not found[one.name].ok]


def run_checks(checks: Sequence[Check], memory: str) -> Dict[str, Answer]:
    """The answer to each check by its name. It takes at most as long as the longest time limit.

    `memory` is a file that is kept between calls and lists the processes that did not end. There may be
    only one caller at a time.
    """
    left = still_running(load_sessions(memory), processes())
    _kill(left.values())  # an earlier caller may have died before it could
    asked = [_start(check) for check in checks if check.name not in left]
    sessions = {one.check.name: one.session for one in asked}
    # Before waiting, so that they are remembered even if this process is killed.
    _save_sessions(memory, {**left, **sessions})
    found = {one.check.name: _collect(one) for one in asked}
    _kill(sessions.values())
    _reap(asked)
    _save_sessions(memory, still_running({**left, **sessions}, processes()))
    found.update((name, Answer(False, no_answer_since(session))) for name, session in left.items())
    return found


def no_answer_since(session: Session) -> str:
    """The reason for a check that still hangs."""
    return time.strftime("no answer since %Y-%m-%dT%H:%M:%SZ", time.gmtime(session.at))


def still_running(known: Mapping[str, Session], running: Iterable[Process]) -> Dict[str, Session]:
    """The sessions that still have a process."""
    alive = [process for process in running if process.state not in "ZX"]
    return {name: session for name, session in known.items() if _is_running(session, alive)}


def _is_running(session: Session, alive: Sequence[Process]) -> bool:
    members = [process for process in alive if process.session == session.leader]
    # The kernel does not reuse a session ID while the session exists: a leader that started at another
    # time belongs to a later session with the same ID.
    leaders = [process.started for process in members if process.pid == session.leader]
    return bool(members) and all(started == session.started for started in leaders)


def parse_stat(stat: str) -> Process:
    """Parse /proc/PID/stat, see proc(5). The name of a program may contain anything, brackets included."""
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    return Process(int(head.split()[0]), fields[0], int(fields[3]), int(fields[19]))


def processes() -> List[Process]:
    """All processes of the machine."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):  # it has ended in the meantime
                found.append(_process(int(name)))
    return found


def _process(pid: int) -> Process:
    # Unlike other files there, this one needs no lock that a hung process may hold.
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
        return parse_stat(file.read())


def load_sessions(memory: str) -> Dict[str, Session]:
    """The sessions in the file, by the names of their checks."""
    try:
        with open(memory, encoding="utf-8") as file:
            return {name: Session(*row) for name, row in json.load(file).items()}
    except FileNotFoundError:
        return {}


def _save_sessions(memory: str, known: Mapping[str, Session]) -> None:
    files.put(memory, json.dumps(known, sort_keys=True).encode("ascii"), 0o644)


def _start(check: Check) -> Running:
    answer, ours = os.pipe()
    child = os.fork()
    if child == 0:
        _child(check, ours)
    os.close(ours)
    session = Session(child, _process(child).started, int(time.time()))
    return Running(check, session, answer, time.monotonic() + check.seconds)


def _child(check: Check, answer: int) -> NoReturn:
    """Run the check, write the answer and exit in every case, without any cleanup of the parent's state."""
    try:
        os.setsid()
        # A reader of the parent's output waits until every process that could write there has closed it.
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        result = _reason(check)
        ok = result is None or isinstance(result, Detail)
        text = (_OK if ok else _PROBLEM) + (result or "").encode("utf-8", "replace")
        os.write(answer, text[:_MAX_ANSWER])
    finally:
        os._exit(0)


def _reason(check: Check) -> Optional[str]:
    try:
        return check.run()
    except OSError as error:
        return error.strerror or type(error).__name__
    except Exception as error:  # an error in a check is reported like any other problem
        return type(error).__name__


def _collect(asked: Running) -> Answer:
    """The answer of a check, or that there was none."""
    seconds_left = max(0.0, asked.deadline - time.monotonic())
    if not select.select([asked.answer], [], [], seconds_left)[0]:
        return Answer(False, "no answer in %g s" % asked.check.seconds)
    text = os.read(asked.answer, _MAX_ANSWER)
    if text[:1] not in (_OK, _PROBLEM):
        return Answer(False, "ended without an answer")
    return Answer(text[:1] == _OK, text[1:].decode("utf-8", "replace"))


def _kill(sessions: Iterable[Session]) -> None:
    for session in sessions:
        with suppress(OSError):  # it has ended, or is a set-user-ID program that we may not kill
            os.killpg(session.leader, signal.SIGKILL)


def _reap(asked: Sequence[Running]) -> None:
    """Wait for the children that have ended. Those that hang are left to init."""
    for one in asked:
        os.close(one.answer)
    children = {one.session.leader for one in asked}
    end = time.monotonic() + _KILLED_WITHIN
    while children and time.monotonic() < end:
        children = {pid for pid in children if os.waitpid(pid, os.WNOHANG)[0] == 0}
        time.sleep(0.02)
