"""`worker configure`: from /etc/osg-worker.conf to a running HTCondor. Run again, it changes
nothing that is right already. The token is written to its file, and to nothing else.
"""

import os
import subprocess
from typing import Sequence

from worker_runtime import clock, condor, files, machine, proof, settings, stopped, token
from worker_runtime.conf import Conf, Key, parse
from worker_runtime.say import say

TOKENS = "/etc/condor/tokens.d"
TOKEN_FILE = TOKENS + "/osg-worker.token"
CONFIG_NAME = "90-osg-worker.config"
CONFIG_FILE = proof.CONFIG_DIR + "/" + CONFIG_NAME
UNIT = "condor.service"
GUARD = "worker-metadata-guard.service"
# What cloud-init keeps of the user-data, and with it perhaps a token, whatever its files' modes.
CLOUD_INIT = ("/var/lib/cloud/instances", "/var/lib/cloud/seed")


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
    close_folders()
    if not content.strip():
        say("waiting for %s, which says whose jobs to run" % path)
        return 0
    place = condor.Place(clock.booted_at(), machine.attributes())
    conf = parse(content, keys)
    if not conf.problems:
        conf = proven(conf, place)
    if not conf.problems:
        conf = with_token(conf)
    for warning in conf.warnings:
        say("warning: %s: %s" % (path, warning))
    if conf.problems:
        return refused(path, conf)
    return started(install(conf, place))


def close_folders() -> None:
    """Only root is to enter where cloud-init keeps the user-data."""
    for folder in CLOUD_INIT:
        if os.path.isdir(folder):
            os.chmod(folder, 0o700)


def proven(conf: Conf, place: condor.Place) -> Conf:
    """With what HTCondor itself thinks of the values."""
    values = conf.values
    verdict = proof.both(
        proof.of_expression(values["Start"]),
        proof.of_configuration(CONFIG_NAME, values, place),
    )
    return Conf(values, tuple(verdict.problems), conf.warnings + tuple(verdict.warnings))


def with_token(conf: Conf) -> Conf:
    try:
        return conf._replace(values=dict(conf.values, Token=token.obtained(conf.values)))
    except token.NoToken as reason:
        return conf._replace(problems=(str(reason),))


def refused(path: str, conf: Conf) -> int:
    say("\n".join("%s: %s" % (path, problem) for problem in conf.problems))
    running = subprocess.call(["systemctl", "--quiet", "is-active", UNIT]) == 0
    done = "HTCondor goes on as before." if running else "HTCondor was not started."
    say("%s Correct %s; it is read as soon as it changes." % (done, path))
    return 1


def install(conf: Conf, place: condor.Place) -> str:
    """The token and the configuration in their places; what HTCondor is to do about it."""
    files.private_folder(TOKENS)
    before = files.text(CONFIG_FILE)
    after = condor.render(conf.values, place)
    token_is_new = files.put(TOKEN_FILE, conf.values["Token"].encode("ascii") + b"\n", 0o600)
    config_is_new = files.put(CONFIG_FILE, after.encode("utf-8"), 0o644)
    if token_is_new or config_is_new or not os.path.exists(settings.PUBLISHED):
        stopped.started()  # whatever ended under the old settings, says nothing of the new
        settings.publish(conf.values)
        # At each start of HTCondor it runs anyway; a running one may have to hear of MetadataGuard.
        subprocess.call(["systemctl", "start", GUARD])
    if condor.needs_restart(before, after):
        return "restart"
    return "reload-or-restart" if token_is_new or config_is_new else "start"


def started(verb: str) -> int:
    """Have HTCondor run with what is installed."""
    # A running one is only told to read again, for it may have jobs. Not waited for, because its
    # start may wait for this unit's end, and for the network.
    status = subprocess.call(["systemctl", "--no-block", verb, UNIT])
    if status != 0:
        say("systemctl %s %s failed with status %d" % (verb, UNIT, status))
        return 1
    done = "nothing has changed" if verb == "start" else "it is told to take that up"
    say("HTCondor is configured; " + done)
    return 0
