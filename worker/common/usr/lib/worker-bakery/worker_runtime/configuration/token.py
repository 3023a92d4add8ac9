"""Obtains the worker's token: from the worker's file, from a token file, or from a program.

In the same way it obtains the credential with which a worker deletes its own server.

No message contains a token, a credential or the output of that program.
"""

import base64
import binascii
import json
import os
import re
import shlex
import subprocess
import time
from typing import Any, Dict, Mapping, NamedTuple, Optional

from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.values import problem_with
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.system import files, paths

COMMAND_SECONDS = 60
COMMAND_TRIES = 3  # a secret store or the network may come up later than the worker
RETRY_SECONDS = 10
CLOCK_TOLERANCE = 300


class NoToken(Exception):
    """Why there is no token, in words."""


def obtain(kind: Kind, values: Mapping[str, str]) -> str:
    """The token. Raises NoToken."""
    if values["Token"]:
        return values["Token"]
    named = "TokenFile" if values["TokenFile"] else "TokenCommand"
    try:
        found = (
            _content(values[named], not kind.user_tokens)
            if values["TokenFile"]
            else output_of(named, values[named])
        )
        return parse_token_file(named, found)
    except NoToken as reason:
        # With the name that the user knows.
        raise NoToken(str(reason).replace(named, kind.key(named))) from None


def parse_token_file(source: str, raw: bytes) -> str:
    """The only token in a token file of HTCondor's format, with blank lines and # comments.

    Raises NoToken.
    """
    lines = [line.strip() for line in raw.decode("utf-8", "replace").splitlines()]
    tokens = [line for line in lines if line and not line.startswith("#")]
    if len(tokens) != 1:
        raise NoToken("%s contains %d tokens instead of one" % (source, len(tokens)))
    problem = problem_with("token", tokens[0])
    if problem:
        raise NoToken("the token of %s %s" % (source, problem))
    return tokens[0]


def _content(path: str, private: bool) -> bytes:
    try:
        content = files.read_settled(path, private)
    except IsADirectoryError:
        # docker run creates one if the file to mount does not exist.
        raise NoToken("TokenFile %s is a directory, not a file" % path) from None
    except OSError as error:
        if error.filename is None:  # the error of fchmod or fchown
            raise NoToken("TokenFile %s is readable by others; run chmod 600 on it" % path) from None
        raise NoToken("TokenFile %s: %s" % (path, error.strerror)) from None
    if content is None:
        raise NoToken("TokenFile %s does not exist" % path)
    return content


def output_of(named: str, command: str) -> bytes:
    """What the program of the key with this name prints. Raises NoToken."""
    problem = ""
    for attempt in range(COMMAND_TRIES):
        if attempt:
            time.sleep(RETRY_SECONDS)
        try:
            # Its stderr goes to the journal, as for any service of root.
            done = subprocess.run(
                shlex.split(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=COMMAND_SECONDS,
            )
        except OSError as error:
            problem = "cannot be run: %s" % error.strerror
            continue
        except subprocess.TimeoutExpired:
            problem = "did not end within %d s" % COMMAND_SECONDS
            continue
        if done.returncode == 0:
            return done.stdout
        problem = "ended with status %d" % done.returncode
    raise NoToken("%s %s" % (named, problem))


def claims(token: str) -> Dict[str, Any]:
    """The claims of a token, unverified; empty if they cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        found = json.loads(payload.decode("utf-8"))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}


def time_problem(claimed: Mapping[str, Any], now: float) -> Optional[str]:
    """Why the token is not valid at the time of this machine's clock; None if it is."""
    expires, issued = claimed.get("exp"), claimed.get("iat")
    if isinstance(expires, (int, float)) and expires <= now:
        return "the token expired on %s, or this machine's clock, which says %s, is wrong" % (
            date(expires),
            date(now),
        )
    if isinstance(issued, (int, float)) and issued > now + CLOCK_TOLERANCE:
        return "this machine's clock is wrong: it says %s, but the token was issued on %s" % (
            date(now),
            date(issued),
        )
    return None


def date(epoch: float) -> str:
    """A time in seconds since 1970 for messages."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(epoch))


# --- the credential of OnIdle = delete, see lifecycle/self_deletion.py ---

_ADDRESS = re.compile(r"https?://[!-~]+\Z")


class ServerCredential(NamedTuple):
    """The address of Keystone (…/v3), the id of the user, the secret, and the address of Nova (…/v2.1)."""

    auth_url: str
    user: str
    secret: str
    compute: str


def parse_credential(text: str) -> Optional[ServerCredential]:
    """The credential of ServerCredential, which is JSON in base64; None if it is not one."""
    try:
        found = json.loads(base64.urlsafe_b64decode(text.encode("ascii")).decode("utf-8"))
    except (ValueError, binascii.Error):
        return None
    values = [found.get(name) if isinstance(found, dict) else None for name in ServerCredential._fields]
    if not all(isinstance(value, str) and value for value in values):
        return None
    made = ServerCredential(*map(str, values))
    return made if _ADDRESS.match(made.auth_url) and _ADDRESS.match(made.compute) else None


def with_server_credential(conf: WorkerConfig) -> WorkerConfig:
    """The configuration with the credential; with one more problem if there is none."""
    values = conf.values
    if conf.problems or values.get("OnIdle") != "delete":
        return conf
    named = "ServerCredentialCommand" if values["ServerCredentialCommand"] else "ServerCredential"
    try:
        found = values["ServerCredential"]
        if named == "ServerCredentialCommand":
            found = parse_token_file(named, output_of(named, values[named]))
    except NoToken as reason:
        return conf._replace(problems=(str(reason),))
    if not found:
        return conf._replace(problems=("OnIdle = delete requires ServerCredential",))
    if not parse_credential(found):
        return conf._replace(problems=(named + " is not a credential as fleet launch makes it",))
    return conf._replace(values=dict(values, ServerCredential=found))


def put_server_credential(values: Mapping[str, str]) -> None:
    """Write the credential where only root can read it, or remove it."""
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    content = values["ServerCredential"] if values.get("OnIdle") == "delete" else ""
    if content:
        files.put(paths.SERVER_CREDENTIAL, content.encode("ascii"), 0o600)
    elif os.path.exists(paths.SERVER_CREDENTIAL):
        os.unlink(paths.SERVER_CREDENTIAL)
