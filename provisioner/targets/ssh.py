"""A target that is a running machine, over ssh. The login user is root, or can use sudo without a password.

Commands on the machine hold a lock, and a relay that outlives the connection reads their output. If the
connection breaks, the command continues instead of dying of SIGPIPE (which would leave packages half
installed), and the next command, of this or another plan, waits for its end. Two commands of plans never
run at the same time on a machine.

The result of a command is unknown if its connection broke: ConnectionLost is raised, and the caller
decides. File content is sent on standard input, never as an argument.
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

from provisioner import named_file
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

# On a tmpfs: after a reboot, nothing holds the lock.
LOCK = "/run/worker-bakery.lock"
PORT = 22
_TIMEOUT = 20  # seconds for each of: connection, banner, login, a new session
_KEEPALIVE = 15  # seconds between keepalive messages
_USER_TIMEOUT = 60  # seconds; unacknowledged data means a lost connection (TCP_USER_TIMEOUT)
_CHUNK = 1 << 16  # bytes

# The wait is longer than TCP takes to detect a lost connection (15 min).
_LOCKED = f"""\
umask 022
exec 9>>{LOCK} || exit 75
if ! flock -n 9; then
    echo 'waiting for the end of what an earlier connection began on this machine'
    flock -w 1800 9 || {{ echo 'it did not end in 30 minutes'; exit 75; }}
fi
"""
# "$@" is the command. Its output is copied to fd 3 (ours) as long as that is open, its status to fd 4.
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
# $1 path, $2 mode, $3 size in bytes. An incomplete file is never renamed to the path.
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
    """An established connection was lost; it is unknown whether the current command has completed."""


@dataclass(frozen=True)
class Address:
    """USER@HOST:PORT."""

    user: str
    host: str
    port: int = PORT

    @property
    def known_hosts_name(self) -> str:
        """The name of the machine in known_hosts files."""
        return self.host if self.port == PORT else f"[{self.host}]:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}"


def address(text: str) -> Address:
    """`USER@HOST`, `USER@HOST:PORT`, `USER@[IPV6]:PORT`. Raises BadInput."""
    found = re.fullmatch(r"([^@\s]+)@(?:\[([^]\s]+)]|([^\s:@[\]]+))(?::(\d{1,5}))?", text)
    port = int(found[4] or PORT) if found else 0
    if not found or not 0 < port < 65536:
        raise BadInput(f"{text!r} is not a valid address.", "Use --ssh USER@HOST or --ssh USER@HOST:PORT.")
    return Address(found[1], found[2] or found[3], port)


@dataclass(frozen=True)
class Login:
    """How to log in. Without `key`, the keys of ssh-agent and ~/.ssh are tried, as ssh does."""

    address: Address
    key: Path | None = None
    trust: Trust = field(default_factory=Trust)


class Ssh:
    """Connects when first used, and reconnects whenever the connection was lost."""

    def __init__(self, login: Login, on_notice: OnLine) -> None:
        # It prints tracebacks of errors that we report as messages.
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
        """Write a file atomically: readers see the old file or the new one."""
        arguments = (path, f"{mode:04o}", str(len(data)))
        self._script(_PUT, arguments, data, lambda _: None, shown=("write", path))

    def close(self) -> None:
        if self._client:
            self._client.close()
            self._client = None

    def _script(
        self, script: str, argv: tuple[str, ...], stdin: bytes, on_line: OnLine, shown: tuple[str, ...]
    ) -> None:
        """Run one of our shell scripts as root. Raises CommandFailed, DiskFull, ConnectionLost."""
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
        """Run a command and return its exit status. Raises ConnectionLost."""
        try:
            transport = client.get_transport()
            assert transport
            channel = transport.open_session(timeout=_TIMEOUT)
            channel.exec_command(shlex.join(argv))
            _send(channel, stdin)
            status = _read(channel, on_line)
        except (paramiko.SSHException, OSError, EOFError):
            status = -1
        if status == -1:  # the channel closed without an exit status
            self.close()
            raise ConnectionLost(f"The connection to {self._login.address} was lost.")
        return status

    def _sudo_prefix(self, client: paramiko.SSHClient) -> tuple[str, ...]:
        """The argv prefix to run a command as root. Raises MissingHere: the user cannot become root."""
        output: list[str] = []
        if self._execute(client, ("sh", "-c", 'test "$(id -u)" -eq 0'), b"", output.append) == 0:
            return ()
        status = self._execute(client, ("sudo", "-n", "--", "true"), b"", output.append)
        if status == 0:
            return ("sudo", "-n", "--")
        user, why = self._login.address.user, output[-1] if output else f"status {status}"
        raise MissingHere(
            f"{user} cannot become root on {self._login.address.host} with sudo: {why}",
            f"Log in as root, or allow {user} sudo without a password (NOPASSWD: ALL in /etc/sudoers.d).",
        )

    def _cause(self, argv: tuple[str, ...], status: int, tail: str) -> BakeryError:
        error = run.failure(argv, status, tail)
        match error:
            case DiskFull():
                return DiskFull(
                    f"The disk of {self._login.address.host} is full: {tail.splitlines()[-1]}",
                    "Free some space on the machine.",
                )
            case Unreachable():
                return Unreachable(error.message, "The machine uses its own package sources. Check them.")
            case WrongChecksum():
                return error
            case _:
                return CommandFailed(shown(argv), status, tail)


def connect(login: Login, on_notice: OnLine, *, again: bool = False) -> paramiko.SSHClient:
    """Connect and log in. Raises BadInput, and Unreachable; with `again`, ConnectionLost instead."""
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
    # Close the connection if keepalives are not acknowledged; ssh itself would wait forever.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT * 1000)
    return made


def _private_key(path: Path) -> paramiko.PKey:
    hint = "--key requires a private key file as written by ssh-keygen."
    try:
        named_file.refuse_waiting(path)
        return paramiko.PKey.from_path(path)
    except OSError as error:
        raise BadInput(f"Cannot read the key {path}: {error.strerror}.", hint) from None
    except (TypeError, paramiko.PasswordRequiredException):  # TypeError: cryptography requires a passphrase
        raise BadInput(
            f"The key {path} is protected by a passphrase.", "Add it to ssh-agent and omit --key."
        ) from None
    except (ValueError, paramiko.SSHException, UnknownKeyType):
        raise BadInput(f"{path} is not a private key.", hint) from None


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
    """The error to raise for a failed connection or login."""
    where, key = login.address, login.key or "any key of the agent or ~/.ssh"
    name = where.known_hosts_name
    match error:
        case paramiko.PasswordRequiredException():
            return BadInput("The keys in ~/.ssh are protected by a passphrase.", "Add one to ssh-agent.")
        case paramiko.BadHostKeyException():
            return Unreachable(
                f"The host key of {name} has CHANGED: received {host_keys.fingerprint(error.key)}, "
                f"expected {host_keys.fingerprint(error.expected_key)}. Nothing was sent to the machine.",
                "This may be a man-in-the-middle attack. If the machine was reinstalled, remove the "
                f"old key with ssh-keygen -R '{name}', or pass the new one with --host-key.",
            )
        case paramiko.AuthenticationException():
            return Unreachable(
                f"{where.host} refused to log in {where.user} with {key}.",
                f"Add the public key to ~{where.user}/.ssh/authorized_keys on the machine.",
            )
        case socket.gaierror():
            why, hint = "the host name cannot be resolved", "Check its spelling."
        case TimeoutError():
            why, hint = (
                f"no response within {_TIMEOUT} s",
                "Check that the machine is running and that no firewall blocks this port.",
            )
        case ConnectionRefusedError():
            why, hint = "connection refused", "Check that sshd is running and listens on this port."
        case _:
            why, hint = str(error) or type(error).__name__, "Check that an ssh server listens on this port."
    kind = ConnectionLost if again else Unreachable
    return kind(f"Cannot connect to {where}: {why}.", hint)


def _send(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except OSError:
        if not channel.closed:
            raise  # otherwise the command exited without reading everything; its status follows


def _read(channel: paramiko.Channel, on_line: OnLine) -> int:
    """Read both pipes until the command exits, and return its status; -1 if none was received.

    Both are read in turn, because the command blocks when either is full.
    """
    pipes = (
        (channel.recv_ready, channel.recv, LineSplitter(on_line)),
        (channel.recv_stderr_ready, channel.recv_stderr, LineSplitter(on_line)),
    )
    while True:
        ended = channel.eof_received or channel.closed  # checked before reading: nothing follows
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
