"""Where the worker's token comes from: the file's own line, another file, or a program.

No message here ever holds a token, nor what a program printed.
"""

import base64
import binascii
import json
import shlex
import subprocess
import time
from typing import Any, Dict, Mapping, Optional

from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.values import problem_with
from worker_runtime.system import files

COMMAND_SECONDS = 60
COMMAND_TRIES = 3  # a secret store, or the way there, may come up after us
RETRY_SECONDS = 10
CLOCK_TOLERANCE = 300


class NoToken(Exception):
    """Why there is none, in words."""


def obtain(kind: Kind, values: Mapping[str, str]) -> str:
    """The token. Raises NoToken."""
    if values["Token"]:
        return values["Token"]
    named = "TokenFile" if values["TokenFile"] else "TokenCommand"
    try:
        found = (
            _content(values[named], not kind.given) if values["TokenFile"] else _output_of(values[named])
        )
        return parse_token_file(named, found)
    except NoToken as reason:
        # In the user's words.
        raise NoToken(str(reason).replace(named, kind.key(named))) from None


def parse_token_file(source: str, raw: bytes) -> str:
    """The one token of a token file as HTCondor has them: blank lines and # comments allowed."""
    lines = [line.strip() for line in raw.decode("utf-8", "replace").splitlines()]
    tokens = [line for line in lines if line and not line.startswith("#")]
    if len(tokens) != 1:
        raise NoToken("%s gave %d tokens where one is wanted" % (source, len(tokens)))
    problem = problem_with("token", tokens[0])
    if problem:
        raise NoToken("the token of %s %s" % (source, problem))
    return tokens[0]


def _content(path: str, private: bool) -> bytes:
    try:
        content = files.read_settled(path, private)
    except IsADirectoryError:
        # docker run makes one where there is no file to mount.
        raise NoToken("TokenFile %s does not exist: it is a folder" % path) from None
    except OSError as error:
        if error.filename is None:  # it was open: fchmod, fchown
            raise NoToken("TokenFile %s can be read by others; chmod 600 it" % path) from None
        raise NoToken("TokenFile %s: %s" % (path, error.strerror)) from None
    if content is None:
        raise NoToken("TokenFile %s does not exist" % path)
    return content


def _output_of(command: str) -> bytes:
    problem = ""
    for attempt in range(COMMAND_TRIES):
        if attempt:
            time.sleep(RETRY_SECONDS)
        try:
            # What it says on stderr goes to the journal, as that of any service of root's.
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
    raise NoToken("TokenCommand " + problem)


def claims(token: str) -> Dict[str, Any]:
    """What it says of itself, unverified; nothing where it cannot be read."""
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
    """Why this machine's clock and the token do not go together; None if they do."""
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
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(epoch))
