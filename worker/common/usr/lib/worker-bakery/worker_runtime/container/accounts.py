"""Acts as another account, because only the kernel knows what an account may do with files of the host."""

import contextlib
import os
import pwd
from typing import Iterator


@contextlib.contextmanager
def acting_as(account: pwd.struct_passwd) -> Iterator[None]:
    """Be this account, without further groups, until the block ends. Raises OSError."""
    groups, group, user = os.getgroups(), os.getegid(), os.geteuid()
    try:
        os.setgroups([account.pw_gid])
        os.setegid(account.pw_gid)
        os.seteuid(account.pw_uid)
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)
        os.setgroups(groups)
