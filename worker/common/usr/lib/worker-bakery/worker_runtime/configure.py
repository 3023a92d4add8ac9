"""`worker configure`: from the worker's file to a running HTCondor. Run again, it changes nothing
that is right already. The token is written to its file, and to nothing else.
"""

import os
import subprocess
from typing import List, NamedTuple, Tuple

from worker_runtime import (
    clock, condor, files, followed, machine, ospool, proof, query, settings, stopped, token,
)  # fmt: skip
from worker_runtime.conf import Conf, parse
from worker_runtime.kind import Kind
from worker_runtime.say import say

UNIT = "condor.service"
GUARD = "worker-metadata-guard.service"
# What cloud-init keeps of the user-data, and with it perhaps a token, whatever its files' modes.
CLOUD_INIT = ("/var/lib/cloud/instances", "/var/lib/cloud/seed")


class Outcome(NamedTuple):
    """What became of the file's content: the exit status, and what is in the way."""

    status: int
    problems: Tuple[str, ...] = ()


def main() -> int:
    table = settings.table()
    for complaint in table.complaints:
        say("warning: " + complaint)
    return follow(table.kind)


def follow(kind: Kind) -> int:
    """Do what the file says, until it says the same after that as before."""
    while True:
        content, outcome = _taken_up(kind)
        # A change made meanwhile would be lost: the path unit does not look while we run.
        if _content_now(kind) == content:
            return outcome.status


def _content_now(kind: Kind) -> bytes:
    try:
        return files.settled(kind.file) or b""
    except OSError:  # which has been said
        return b""


def _taken_up(kind: Kind) -> Tuple[bytes, Outcome]:
    """What the file said, and what became of it; which the worker's status tells from then on."""
    content, stands_for = b"", followed.Content()
    try:
        content = files.settled(kind.file) or b""
        stands_for = followed.content_of(kind, content)
        outcome = apply(kind, content)
    except OSError as error:  # a full disk, or a folder where the file should be
        outcome = Outcome(1, ("%s: %s" % (error.filename, error.strerror),))
        say(outcome.problems[0])
    followed.take(stands_for, outcome.problems)
    query.nudge()
    return content, outcome


def apply(kind: Kind, content: bytes) -> Outcome:
    """Do what the file says."""
    close_folders()
    if not content.strip():
        say("waiting for %s, which says whose jobs to run" % kind.file)
        return Outcome(0)
    place = condor.Place(clock.booted_at(), machine.attributes(), machine.draw())
    conf = checked(kind, parse(content, kind.keys, kind.form), place)
    for warning in conf.warnings:
        say("warning: %s: %s" % (kind.file, warning))
    if conf.problems:
        return refused(kind, conf)
    return started(install(kind, conf, place))


def close_folders() -> None:
    """Only root is to enter where cloud-init keeps the user-data."""
    for folder in CLOUD_INIT:
        if os.path.isdir(folder):
            os.chmod(folder, 0o700)


def checked(kind: Kind, conf: Conf, place: condor.Place) -> Conf:
    """With the token, and with all that is wrong, at once; HTCondor is asked if nothing else is."""
    conf = with_token(kind, conf._replace(values=ospool.named(kind, conf.values, place.attributes)))
    return conf if conf.problems else proven(kind, conf, place)


def proven(kind: Kind, conf: Conf, place: condor.Place) -> Conf:
    """With what HTCondor itself thinks of the values."""
    values = conf.values
    verdict = proof.of_configuration(kind, values, place)
    for text in expressions(kind, conf):
        verdict = proof.both(proof.of_expression(text), verdict)
    return Conf(values, tuple(verdict.problems), conf.warnings + tuple(verdict.warnings))


def expressions(kind: Kind, conf: Conf) -> List[str]:
    given = (conf.values[key.setting] for key in kind.keys if key.kind == "expression")
    return [text for text in given if text]


def with_token(kind: Kind, conf: Conf) -> Conf:
    """Its own, or from where the values say that it is; a problem more if it is not there."""
    secrets = [key.name for key in kind.keys if key.setting in settings.SECRET]
    if not conf.values or any(problem.startswith(tuple(secrets)) for problem in conf.problems):
        return conf
    try:
        found = token.obtained(kind, conf.values)
    except token.NoToken as reason:
        return conf._replace(problems=(*conf.problems, str(reason)))
    return conf._replace(values=dict(conf.values, Token=found))


def refused(kind: Kind, conf: Conf) -> Outcome:
    say("\n".join("%s: %s" % (kind.file, problem) for problem in conf.problems))
    running = subprocess.call(["systemctl", "--quiet", "is-active", UNIT]) == 0
    done = "HTCondor goes on as before." if running else "HTCondor was not started."
    say("%s Correct %s; it is read as soon as it changes." % (done, kind.file))
    return Outcome(1, conf.problems)


def install(kind: Kind, conf: Conf, place: condor.Place) -> str:
    """The token and the configuration in their places; what HTCondor is to do about it."""
    files.private_folder(os.path.dirname(kind.token_file))
    config_file = os.path.join(proof.CONFIG_DIR, kind.config_name)
    before = files.text(config_file)
    after = condor.render(kind, conf.values, place)
    secret = conf.values["Token"].encode("ascii") + b"\n"
    token_is_new = files.put(kind.token_file, secret, 0o600)
    config_is_new = files.put(config_file, after.encode("utf-8"), 0o644)
    if token_is_new or config_is_new or not os.path.exists(settings.PUBLISHED):
        stopped.started()  # whatever ended under the old settings, says nothing of the new
        settings.publish(conf.values)
        # At each start of HTCondor it runs anyway; a running one may have to hear of the guard.
        subprocess.call(["systemctl", "start", GUARD])
    if condor.needs_restart(before, after):
        return "restart"
    return "reload-or-restart" if token_is_new or config_is_new else "start"


def started(verb: str) -> Outcome:
    """Have HTCondor run with what is installed."""
    # A running one is only told to read again, for it may have jobs. Not waited for, because its
    # start may wait for this unit's end, and for the network.
    status = subprocess.call(["systemctl", "--no-block", verb, UNIT])
    if status != 0:
        problem = "systemctl %s %s failed with status %d" % (verb, UNIT, status)
        say(problem)
        return Outcome(1, (problem,))
    done = "nothing has changed" if verb == "start" else "it is told to take that up"
    say("HTCondor is configured; " + done)
    return Outcome(0)
