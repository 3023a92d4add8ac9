"""Files that hold a token and are not ours: a container's host's, or the user's own in his home.

They are read, and stay as they are. HTCondor gets copies in a folder of its own (Kind.tokens), of the
worker's token and of every other token in the user's folder (Kind.given). A file that jobs could read
is refused.
"""

import os
import pwd
import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from worker_runtime.configuration import worker_file
from worker_runtime.configuration.kind import Kind
from worker_runtime.system import files
from worker_runtime.system.console import log

_DAEMON_TOKEN = "_auto_generated_token"  # what a daemon of HTCondor's has asked its pool for
_ACCOUNT = re.compile(r"slot\d+\Z")  # resources.ACCOUNT


class FileStamp(NamedTuple):
    """What changes when a file, or who may read it, does."""

    inode: int
    changed: int  # st_ctime_ns
    links: int


def sources(kind: Kind, values: Mapping[str, str]) -> List[str]:
    """The files that are there of all that may hold a token."""
    named = [values.get("TokenFile", ""), kind.file if holds_token(kind) else ""]
    return sorted({path for path in [*named, *other_token_files(kind, values)] if os.path.isfile(path)})


def holds_token(kind: Kind) -> bool:
    """Is it in the worker's own file?"""
    try:
        with open(kind.file, "rb") as opened:
            return bool(worker_file.parse(opened.read(), kind.keys, kind.form).values.get("Token"))
    except OSError:
        return False


def other_token_files(kind: Kind, values: Mapping[str, str]) -> List[str]:
    """Token files beside the worker's own, which HTCondor would find in its usual folder."""
    try:
        names = sorted(os.listdir(kind.given))
    except OSError:
        return []
    mine = (values.get("TokenFile", ""), os.path.join(kind.given, os.path.basename(kind.token_file)))
    paths = (os.path.join(kind.given, name) for name in names if not name.startswith("."))
    return [path for path in paths if os.path.isfile(path) and path not in mine]


def copy_tokens(kind: Kind, values: Mapping[str, str]) -> bool:
    """HTCondor's copies are those of now; False if they were so already. Raises OSError."""
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
    except OSError as error:  # on a file system whose server does not trust this machine's root
        log("warning: %s: %s; HTCondor does not get it" % (path, error.strerror))
        return None


def stamps(paths: Iterable[str]) -> Dict[str, FileStamp]:
    """To be compared with a later look."""
    found = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found[path] = FileStamp(status.st_ino, status.st_ctime_ns, status.st_nlink)
    return found


def warnings(paths: Iterable[str]) -> Tuple[str, ...]:
    """What is wrong with them outside, and what to do there."""
    found = []
    for path in paths:
        status = os.stat(path)
        if status.st_mode & 0o077:
            mode = status.st_mode & 0o777
            found.append("%s can be read by others than its owner (mode %04o); chmod 600 it" % (path, mode))
        if status.st_nlink == 0:
            text = "%s was replaced by another file, which a container does not see; write it in place, "
            found.append(text % path + "or mount its folder")
    return tuple(found)


def readable_by_jobs(paths: Iterable[str]) -> Optional[str]:
    """Which of them an account of jobs can read: each tries. Modes alone would not tell, because a file
    may belong to a number that is a slot's account here.
    """
    tried = list(paths)
    accounts = [account for account in pwd.getpwall() if _ACCOUNT.match(account.pw_name)]
    return next(filter(None, (first_readable_by(account, tried) for account in accounts)), None)


def first_readable_by(account: pwd.struct_passwd, paths: Iterable[str]) -> Optional[str]:
    """The first that the account can read."""
    groups, group, user = os.getgroups(), os.getegid(), os.geteuid()
    try:
        os.setgroups([account.pw_gid])
        os.setegid(account.pw_gid)
        os.seteuid(account.pw_uid)
        return next(filter(_can_open, paths), None)
    finally:
        os.seteuid(user)
        os.setegid(group)
        os.setgroups(groups)


def _can_open(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
