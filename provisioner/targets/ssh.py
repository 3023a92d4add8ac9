"""A target that is a running machine, over ssh. The login user is root, or has sudo without a password.

What runs on the machine goes through one lock there, and its output through a relay that outlives the
connection. So a command whose connection broke goes on to its end instead of dying of a broken pipe
(apt would leave packages half installed), and whoever comes next, with the same step again or with
another plan, waits for that end: no two commands of plans ever run at once on a machine.

Which outcome a command had whose connection broke, nobody knows: ConnectionLost is raised, and the
caller decides. File content goes by standard input and is never in an argument.
"""

from __future__ import annotations

import logging
import re
import select
import shlex
import socket
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko
from paramiko.pkey import UnknownKeyType

from provisioner.errors import (
    BadInput,
    BakeryError,
    CommandFailed,
    DiskFull,
    MissingHere,
    Unreachable,
    WrongChecksum,
)
from provisioner.process import run
from provisioner.process.line_splitter import LineSplitter
from provisioner.process.scrub import shown
from provisioner.targets import OnLine, host_keys
from provisioner.targets.host_keys import Trust

# In memory there: whatever held it ended when the machine did.
LOCK = "/run/worker-bakery.lock"
PORT = 22
_TIMEOUT = 20  # seconds for each of: connection, banner, login, a new session
_KEEPALIVE = 15  # seconds between two signs of life
_USER_TIMEOUT = 60  # seconds after which data that nobody acknowledged means a lost connection
_CHUNK = 1 << 16  # bytes

# The last wait is longer than TCP takes to notice that a connection is gone (15 min).
_LOCKED = f"""\
umask 022
exec 9>>{LOCK} || exit 75
if ! flock -n 9; then
    echo 'waiting for the end of what an earlier connection began on this machine'
    flock -w 1800 9 || {{ echo 'it did not end in 30 minutes'; exit 75; }}
fi
"""
# "$@" is the command. Its output goes to 3 (ours) as long as somebody reads it, its status to 4.
_RUN = (
    _LOCKED
    + """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root
cd /
exec 3>&1
status=$({
    { "$@" </dev/null 2>&1 3>&- 4>&- 9>&-; echo $? >&4; } |
    { trap '' PIPE; cat 2>/dev/null || cat >/dev/null; } >&3 4>&- 9>&-
} 4>&1)
exit "$status"
"""
)
# $1 path, $2 mode, $3 bytes. What breaks off in the middle is shorter, and never gets the name.
_PUT = (
    _LOCKED
    + """\
set -e
folder=$(dirname -- "$1")
mkdir -p -- "$folder"
new=$(mktemp -- "$folder/.worker-bakery.XXXXXX")
trap 'rm -f -- "$new"' EXIT
chmod "$2" "$new"
cat >"$new"
if [ "$(wc -c <"$new")" -ne "$3" ]; then echo "$1 came incomplete"; exit 74; fi
mv -fT -- "$new" "$1"
"""
)


class ConnectionLost(Unreachable):
    """A connection that was up is not any more; what was under way may or may not have been done."""


@dataclass(frozen=True)
class Address:
    user: str
    host: str
    port: int = PORT

    @property
    def known_hosts_name(self) -> str:
        """The machine's name in known_hosts."""
        return self.host if self.port == PORT else f"[{self.host}]:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}"


def address(text: str) -> Address:
    """`USER@HOST`, `USER@HOST:PORT`, `USER@[IPV6]:PORT`. Raises BadInput."""
    found = re.fullmatch(r"([^@\s]+)@(?:\[([^]\s]+)]|([^\s:@[\]]+))(?::(\d{1,5}))?", text)
    port = int(found[4] or PORT) if found else 0
    if not found or not 0 < port < 65536:
        raise BadInput(f"{text!r} is no address.", "Write --ssh USER@HOST or USER@HOST:PORT.")
    return Address(found[1], found[2] or found[3], port)


@dataclass(frozen=True)
class Login:
    """Without a key, those of the agent and ~/.ssh are tried, as ssh does."""

    address: Address
    key: Path | None = None
    trust: Trust = field(default_factory=Trust)


class Ssh:
    """Connects when it first has to, and again whenever the connection is found lost."""

    def __init__(self, login: Login, on_notice: OnLine) -> None:
        # It prints tracebacks of what we tell in words.
        logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
        self._login = login
        self._on_notice = on_notice
        self._client: paramiko.SSHClient | None = None
        self._prefix: tuple[str, ...] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        self._script(_RUN, argv, b"", on_line, shown=argv)

    def put(self, path: str, data: bytes, mode: int) -> None:
        """At once: under its name there is the old file or the new one, never a part."""
        arguments = (path, f"{mode:04o}", str(len(data)))
        self._script(_PUT, arguments, data, lambda _: None, shown=("write", path))

    def close(self) -> None:
        if self._client:
            self._client.close()
            self._client = None

    def _script(
        self, script: str, argv: tuple[str, ...], stdin: bytes, on_line: OnLine, shown: tuple[str, ...]
    ) -> None:
        """Run a shell script of ours as root. Raises CommandFailed, DiskFull, ConnectionLost."""
        last: deque[str] = deque(maxlen=run.TAIL_LINES)

        def on_output(text: str) -> None:
            last.append(text)
            on_line(text)

        client = self._connected()
        assert self._prefix is not None
        status = self._execute(
            client, (*self._prefix, "sh", "-c", script, "provision", *argv), stdin, on_output
        )
        if status != 0:
            raise self._cause(shown, status, "\n".join(last))

    def _connected(self) -> paramiko.SSHClient:
        transport = self._client.get_transport() if self._client else None
        if self._client and transport and transport.is_active():
            return self._client
        self.close()
        self._client = client = connect(self._login, self._on_notice, again=self._prefix is not None)
        if self._prefix is None:
            self._prefix = self._sudo_prefix(client)
        return client

    def _execute(
        self, client: paramiko.SSHClient, argv: tuple[str, ...], stdin: bytes, on_line: OnLine
    ) -> int:
        """The status a command ended with; its output is read from both pipes as it comes."""
        try:
            transport = client.get_transport()
            assert transport
            channel = transport.open_session(timeout=_TIMEOUT)
            channel.exec_command(shlex.join(argv))
            _send(channel, stdin)
            status = _read(channel, on_line)
        except (paramiko.SSHException, OSError, EOFError):
            status = -1
        if status == -1:  # it ended, but how was not arguments
            self.close()
            raise ConnectionLost(f"The connection to {self._login.address} was lost.")
        return status

    def _sudo_prefix(self, client: paramiko.SSHClient) -> tuple[str, ...]:
        """What to write before a command. Raises MissingHere if the user cannot become root."""
        output: list[str] = []
        if self._execute(client, ("sh", "-c", 'test "$(id -u)" -eq 0'), b"", output.append) == 0:
            return ()
        status = self._execute(client, ("sudo", "-n", "--", "true"), b"", output.append)
        if status == 0:
            return ("sudo", "-n", "--")
        user, why = self._login.address.user, output[-1] if output else f"status {status}"
        raise MissingHere(
            f"{user} is not root on {self._login.address.host}, and sudo does not let it be: {why}",
            f"Log in as root, or let {user} use sudo without a password (NOPASSWD: ALL in /etc/sudoers.d).",
        )

    def _cause(self, argv: tuple[str, ...], status: int, tail: str) -> BakeryError:
        error = run.failure(argv, status, tail)
        match error:
            case DiskFull():
                return DiskFull(
                    f"The disk of {self._login.address.host} is full: {tail.splitlines()[-1]}",
                    "Free some space there.",
                )
            case Unreachable():
                return Unreachable(error.message, "The machine's own package sources are used: check them.")
            case WrongChecksum():
                return error
            case _:
                return CommandFailed(shown(argv), status, tail)


def connect(login: Login, on_notice: OnLine, *, again: bool = False) -> paramiko.SSHClient:
    """A connection that is logged in. Raises Unreachable, BadInput; ConnectionLost if it was up before."""
    key = _private_key(login.key) if login.key else None
    client = paramiko.SSHClient()
    accept = host_keys.AcceptNew(host_keys.USER.expanduser())
    client.set_missing_host_key_policy(accept if login.trust.accept_new else host_keys.Refuse())
    name = login.address.known_hosts_name
    for kind, host_key in (host_keys.known_keys(login.trust, name).lookup(name) or {}).items():
        client.get_host_keys().add(name, kind, host_key)
    try:
        _log_in(client, login.address, key, _dial(login.address))
    except (OSError, EOFError, paramiko.SSHException) as error:
        client.close()
        raise _connection_error(login, error, again=again) from None
    except BaseException:
        client.close()
        raise
    if accept.notice:
        on_notice(accept.notice)
    return client


def _dial(where: Address) -> socket.socket:
    made = socket.create_connection((where.host, where.port), _TIMEOUT)
    # Signs of life that nobody acknowledges end the connection; ssh itself would wait for ever.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT * 1000)
    return made


def _private_key(path: Path) -> paramiko.PKey:
    hint = "--key names the private half of a key pair, as ssh-keygen writes it."
    try:
        return paramiko.PKey.from_path(path)
    except OSError as error:
        raise BadInput(f"The key {path} cannot be read: {error.strerror}.", hint) from None
    except (TypeError, paramiko.PasswordRequiredException):  # how its library says that it wants one
        raise BadInput(
            f"The key {path} is locked with a passphrase.", "Add it to ssh-agent and leave out --key."
        ) from None
    except (ValueError, paramiko.SSHException, UnknownKeyType):
        raise BadInput(f"{path} is no private key.", hint) from None


def _log_in(
    client: paramiko.SSHClient, where: Address, key: paramiko.PKey | None, over: socket.socket
) -> None:
    client.connect(
        where.host,
        where.port,
        where.user,
        sock=over,
        pkey=key,
        allow_agent=key is None,
        look_for_keys=key is None,
        timeout=_TIMEOUT,
        banner_timeout=_TIMEOUT,
        auth_timeout=_TIMEOUT,
    )
    transport = client.get_transport()
    assert transport
    transport.set_keepalive(_KEEPALIVE)


def _connection_error(login: Login, error: Exception, *, again: bool) -> BakeryError:
    """The cause in words, and what to do."""
    where, key = login.address, login.key or "any key of the agent or ~/.ssh"
    match error:
        case paramiko.PasswordRequiredException():
            return BadInput("The keys in ~/.ssh are locked with a passphrase.", "Add one to ssh-agent.")
        case paramiko.BadHostKeyException():
            return Unreachable(
                f"The host key of {where.known_hosts_name} has CHANGED: it is {host_keys.fingerprint(error.key)}, "
                f"known is {host_keys.fingerprint(error.expected_key)}. Nothing was sent to it.",
                "Either somebody is in between, or the machine was made anew; in that case remove the "
                f"old key with ssh-keygen -R '{where.known_hosts_name}', or give the new one with --host-key.",
            )
        case paramiko.AuthenticationException():
            return Unreachable(
                f"{where.host} does not let {where.user} in with {key}.",
                f"Its public half belongs into ~{where.user}/.ssh/authorized_keys there.",
            )
        case socket.gaierror():
            why, hint = "no such name", "Is it spelled right?"
        case TimeoutError():
            why, hint = (
                f"no answer within {_TIMEOUT} s",
                "Is the machine up? Does a firewall drop this port?",
            )
        case ConnectionRefusedError():
            why, hint = "nobody listens at this port", "Is sshd running there, and at this port?"
        case _:
            why, hint = str(error) or type(error).__name__, "Is it an ssh server that listens there?"
    kind = ConnectionLost if again else Unreachable
    return kind(f"No connection to {where}: {why}.", hint)


def _send(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except OSError:
        if not channel.closed:
            raise  # else it ended without reading all, and will on_notice how


def _read(channel: paramiko.Channel, on_line: OnLine) -> int:
    """Both pipes at once, as neither goes on while the other is full; -1 if no status came."""
    pipes = (
        (channel.recv_ready, channel.recv, LineSplitter(on_line)),
        (channel.recv_stderr_ready, channel.recv_stderr, LineSplitter(on_line)),
    )
    while True:
        ended = channel.eof_received or channel.closed  # before the look: nothing comes after it
        ready = [(receive, lines) for is_ready, receive, lines in pipes if is_ready()]
        for receive, lines in ready:
            lines.feed(receive(_CHUNK))
        if ended and not ready:
            break
        if not ready:
            select.select([channel], [], [], 1)
    for _, _, lines in pipes:
        lines.close()
    return channel.recv_exit_status()
