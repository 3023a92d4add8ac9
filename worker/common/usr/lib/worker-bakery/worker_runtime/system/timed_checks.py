"""Questions that may never be answered, each asked by a process of its own, with a time limit.

A system call on a hung mount cannot be ended, not even by SIGKILL. Such a process is left behind:
never waited for, remembered, and not joined by a second one that asks the same.
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
_MAX_ANSWER = 4096  # bytes; a pipe takes as many without blocking who writes
_KILLED_WITHIN = 1.0  # seconds in which the kernel ends what it can end


class Detail(str):
    """What a check may return instead of None if nothing is wrong, and there is something to tell."""


class Check(NamedTuple):
    name: str
    seconds: float
    ask: Callable[[], Optional[str]]  # what is wrong; None, or Found, if nothing is


class Answer(NamedTuple):
    ok: bool
    said: str  # if fine, what was found; else what is wrong, in words


class Session(NamedTuple):
    """The processes of one check: whatever it starts stays in its session."""

    leader: int
    started: int  # clock ticks since boot, as in /proc
    at: int  # seconds since the epoch


class Process(NamedTuple):
    pid: int
    state: str
    session: int
    started: int


class Running(NamedTuple):
    check: Check
    session: Session
    answer: int  # the pipe's end
    deadline: float  # monotonic


def problems(checks: Sequence[Check], memory: str) -> List[str]:
    """What is wrong, in words, in the checks' order. See answers()."""
    found = run_checks(checks, memory)
    return ["%s: %s" % (one.name, found[one.name].said) for one in checks if not found[one.name].ok]


def run_checks(checks: Sequence[Check], memory: str) -> Dict[str, Answer]:
    """To each check, by its name; takes as long as the longest limit at most.

    `memory` is a file, kept between calls, of the processes that did not end. One caller at a time.
    """
    left = still_running(load_sessions(memory), processes())
    _kill(left.values())  # there may have been nobody to do so
    asked = [_start(check) for check in checks if check.name not in left]
    sessions = {one.check.name: one.session for one in asked}
    # Before waiting: whoever kills us must not make us forget them.
    _save_sessions(memory, {**left, **sessions})
    found = {one.check.name: _collect(one) for one in asked}
    _kill(sessions.values())
    _reap(asked)
    _save_sessions(memory, still_running({**left, **sessions}, processes()))
    found.update((name, Answer(False, no_answer_since(session))) for name, session in left.items())
    return found


def no_answer_since(session: Session) -> str:
    return time.strftime("no answer since %Y-%m-%dT%H:%M:%SZ", time.gmtime(session.at))


def still_running(known: Mapping[str, Session], running: Iterable[Process]) -> Dict[str, Session]:
    """Those of the sessions that still have a process."""
    alive = [process for process in running if process.state not in "ZX"]
    return {name: session for name, session in known.items() if _is_running(session, alive)}


def _is_running(session: Session, alive: Sequence[Process]) -> bool:
    members = [process for process in alive if process.session == session.leader]
    # The kernel gives no number anew while a session has it: a leader who started at another
    # time leads another session, with the same number, after the end of this one.
    leaders = [process.started for process in members if process.pid == session.leader]
    return bool(members) and all(started == session.started for started in leaders)


def parse_stat(stat: str) -> Process:
    """One of /proc/PID/stat, see proc(5). A program may have any name, brackets included."""
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    return Process(int(head.split()[0]), fields[0], int(fields[3]), int(fields[19]))


def processes() -> List[Process]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                found.append(_process(int(name)))
    return found


def _process(pid: int) -> Process:
    # Of all files there this one asks for no lock that a hung process may hold.
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
        return parse_stat(file.read())


def load_sessions(memory: str) -> Dict[str, Session]:
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
    """Ask, answer, and end, whatever happens; nothing of the parent's is cleaned up here."""
    try:
        os.setsid()
        # Who reads our parent's output waits for the end of all who could write there.
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        wrong = _reason(check)
        fine = wrong is None or isinstance(wrong, Detail)
        said = (_OK if fine else _PROBLEM) + (wrong or "").encode("utf-8", "replace")
        os.write(answer, said[:_MAX_ANSWER])
    finally:
        os._exit(0)


def _reason(check: Check) -> Optional[str]:
    try:
        return check.ask()
    except OSError as error:
        return error.strerror or type(error).__name__
    except Exception as error:  # a check that is wrong itself is a finding too, not an end
        return type(error).__name__


def _collect(asked: Running) -> Answer:
    """Its answer, or that there is none."""
    patience = max(0.0, asked.deadline - time.monotonic())
    if not select.select([asked.answer], [], [], patience)[0]:
        return Answer(False, "no answer in %g s" % asked.check.seconds)
    said = os.read(asked.answer, _MAX_ANSWER)
    if said[:1] not in (_OK, _PROBLEM):
        return Answer(False, "ended without an answer")
    return Answer(said[:1] == _OK, said[1:].decode("utf-8", "replace"))


def _kill(sessions: Iterable[Session]) -> None:
    for session in sessions:
        with suppress(OSError):  # gone already, or not ours to kill (a set-user-ID helper)
            os.killpg(session.leader, signal.SIGKILL)


def _reap(asked: Sequence[Running]) -> None:
    """Our children that have ended. Not those that never do: init takes them in, should they."""
    for one in asked:
        os.close(one.answer)
    children = {one.session.leader for one in asked}
    end = time.monotonic() + _KILLED_WITHIN
    while children and time.monotonic() < end:
        children = {pid for pid in children if os.waitpid(pid, os.WNOHANG)[0] == 0}
        time.sleep(0.02)
