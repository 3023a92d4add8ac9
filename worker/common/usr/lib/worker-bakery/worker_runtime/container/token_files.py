"""Reads token files that belong to the container's host or to the user, and never changes them.

HTCondor gets copies in a directory of its own (Kind.tokens): the worker's token, and every other token in
the user's directory (Kind.user_tokens). A file that jobs could read is rejected.
"""

import os
import pwd
import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from worker_runtime.configuration import worker_file
from worker_runtime.configuration.kind import Kind
from worker_runtime.container.accounts import acting_as
from worker_runtime.system import files
from worker_runtime.system.console import log

_DAEMON_TOKEN = "_auto_generated_token"  # a token that a daemon has requested from its pool
_ACCOUNT = re.compile(r"slot\d+\Z")  # resources.ACCOUNT


class FileStamp(NamedTuple):
    """What changes when a file or its permissions do."""

    inode: int
    changed: int  # st_ctime_ns
    links: int


def sources(kind: Kind, values: Mapping[str, str]) -> List[str]:
    """The existing files that may contain a token."""
    named = [values.get("TokenFile", ""), kind.file if holds_token(kind) else ""]
    return sorted({path for path in [*named, *other_token_files(kind, values)] if os.path.isfile(path)})


def holds_token(kind: Kind) -> bool:
    """Whether the worker's own file contains the token."""
    try:
        with open(kind.file, "rb") as opened:
            return bool(worker_file.parse(opened.read(), kind.keys, kind.form).values.get("Token"))
    except OSError:
        return False


def other_token_files(kind: Kind, values: Mapping[str, str]) -> List[str]:
    """The other token files in the directory where HTCondor would look for them."""
    try:
        names = sorted(os.listdir(kind.user_tokens))
    except OSError:
        return []
    mine = (values.get("TokenFile", ""), os.path.join(kind.user_tokens, os.path.basename(kind.token_file)))
    paths = (os.path.join(kind.user_tokens, name) for name in names if not name.startswith("."))
    return [path for path in paths if os.path.isfile(path) and path not in mine]


def copy_tokens(kind: Kind, values: Mapping[str, str]) -> bool:
    """Update HTCondor's copies. Return False if they were up to date. Raises OSError."""
    files.create_private_folder(kind.tokens)
    found = ((os.path.basename(path), _content(path)) for path in other_token_files(kind, values))
    wanted = {name: content for name, content in found if content is not None}
    wanted[os.path.basename(kind.token_file)] = values["Token"].encode("ascii") + b"\n"
    gone = [
        name for name in os.listdir(kind.tokens) if name not in wanted and not name.endswith(_DAEMON_TOKEN)
    ]
    for name in gone:
        os.unlink(os.path.join(kind.tokens, name))
    new = [files.put(os.path.join(kind.tokens, name), wanted[name], 0o600) for name in wanted]
    return bool(gone) or any(new)


def _content(path: str) -> Optional[bytes]:
    try:
        return files.read_settled(path, private=False)
    except OSError as error:  # on a file system that does not trust the root of this machine
        log("warning: %s: %s; HTCondor does not get this token" % (path, error.strerror))
        return None


def stamps(paths: Iterable[str]) -> Dict[str, FileStamp]:
    """The stamps of these files, to compare with later ones."""
    found = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found[path] = FileStamp(status.st_ino, status.st_ctime_ns, status.st_nlink)
    return found


def warnings(paths: Iterable[str]) -> Tuple[str, ...]:
    """What is wrong with the files on the host, and how to correct it."""
    found = []
    for path in paths:
        status = os.stat(path)
        if status.st_mode & 0o077:
            mode = status.st_mode & 0o777
            found.append(
                "%s is readable by others than its owner (mode %04o); run chmod 600 on it" % (path, mode)
            )
        if status.st_nlink == 0:
            text = "%s was replaced by another file, which a container does not see; write it in place, "
            found.append(text % path + "or mount its folder")
    return tuple(found)


def readable_by_jobs(paths: Iterable[str]) -> Optional[str]:
    """The first of these files that an account of jobs can read; each account tries.

    Modes alone are not enough, because a file may be owned by a number that is the account of a slot here.
    """
    tried = list(paths)
    accounts = [account for account in pwd.getpwall() if _ACCOUNT.match(account.pw_name)]
    return next(filter(None, (first_readable_by(account, tried) for account in accounts)), None)


def first_readable_by(account: pwd.struct_passwd, paths: Iterable[str]) -> Optional[str]:
    """The first file that the account can read."""
    with acting_as(account):
        return next(filter(_can_open, paths), None)


def _can_open(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
