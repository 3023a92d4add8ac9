"""`worker configure`: from /etc/osg-worker.conf to a running HTCondor. Run again, it changes
nothing that is right already. The token is written to its file, and to nothing else.
"""

import subprocess
from typing import Sequence

from worker_runtime import condor, files, proof, settings
from worker_runtime.conf import Conf, Key, parse
from worker_runtime.say import say

TOKENS = "/etc/condor/tokens.d"
TOKEN_FILE = TOKENS + "/osg-worker.token"
CONFIG_NAME = "90-osg-worker.config"
CONFIG_FILE = proof.CONFIG_DIR + "/" + CONFIG_NAME


def main() -> int:
    table = settings.table()
    for complaint in table.complaints:
        say("warning: " + complaint)
    try:
        return follow(table.path, table.keys)
    except OSError as error:  # a full disk, or a folder where the file should be
        say("%s: %s" % (error.filename, error.strerror))
        return 1


def follow(path: str, keys: Sequence[Key]) -> int:
    """Do what the file says, until it says the same after that as before."""
    content = files.settled(path)
    while True:
        status = apply(path, content or b"", keys)
        # A change made meanwhile would be lost: the path unit does not look while we run.
        now = files.settled(path)
        if now == content:
            return status
        content = now


def apply(path: str, content: bytes, keys: Sequence[Key]) -> int:
    """Do what the file says; the exit status."""
    if not content.strip():
        say("waiting for %s, which says whose jobs to run" % path)
        return 0
    conf = parse(content, keys)
    if not conf.problems:
        conf = proven(conf)
    for warning in conf.warnings:
        say("warning: %s: %s" % (path, warning))
    if conf.problems:
        say("\n".join("%s: %s" % (path, problem) for problem in conf.problems))
        say("HTCondor was not started. Correct %s; it is read as soon as it changes." % path)
        return 1
    return started(install(conf))


def proven(conf: Conf) -> Conf:
    """With what HTCondor itself thinks of the values."""
    values = conf.values
    verdict = proof.both(
        proof.of_expression(values["Start"]),
        proof.of_configuration(CONFIG_NAME, condor.render(values), values),
    )
    return Conf(values, tuple(verdict.problems), conf.warnings + tuple(verdict.warnings))


def install(conf: Conf) -> bool:
    """The token and the configuration in their places; whether either is new."""
    files.private_folder(TOKENS)
    token = files.put(TOKEN_FILE, conf.values["Token"].encode("ascii") + b"\n", 0o600)
    config = files.put(CONFIG_FILE, condor.render(conf.values).encode("utf-8"), 0o644)
    return token or config


def started(changed: bool) -> int:
    """Have HTCondor run with what is installed."""
    # A running one is left alone if nothing changed: it may have jobs. Not waited for, because
    # its start may wait for this unit's end, and for the network.
    verb = "restart" if changed else "start"
    status = subprocess.call(["systemctl", "--no-block", verb, "condor.service"])
    if status != 0:
        say("systemctl %s condor.service failed with status %d" % (verb, status))
        return 1
    say("HTCondor is configured; %s" % ("(re)starting it" if changed else "nothing has changed"))
    return 0
