"""The user accounts of a customization, and their home directories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provisioner.actions import Action, Run
from provisioner.roles import Context
from provisioner.roles.customization import User
from provisioner.steps import File, Step

HOMES = "/usr/lib/tmpfiles.d/worker-site-homes.conf"
# Homes that are not created: "/" exists, and the other is a convention of Debian for no home.
_NO_HOME = ("/", "/nonexistent")
# $1 name, $2 uid or "", $3 home, $4 shell, $5 supplementary groups with commas or "", $6 "system" or "",
# $7 the mode of the home, or "" not to create it, $8 "home" and $9 "shell" if the definition sets these.
# An account that exists, for example of a package, keeps its home and shell unless they are set.
ADD_USER = """\
for group in $(printf %s "$5" | tr , ' '); do
    getent group "$group" >/dev/null || groupadd ${6:+--system} "$group"
done
if found=$(getent passwd "$1"); then
    uid=$(printf %s "$found" | cut -d: -f3)
    if [ -n "$2" ] && [ "$uid" != "$2" ]; then
        echo "The user $1 exists and has the uid $uid, not $2."
        exit 1
    fi
    home=$(printf %s "$found" | cut -d: -f6) shell=$(printf %s "$found" | cut -d: -f7)
    if [ -n "$8" ] && [ "$home" != "$3" ]; then usermod --home "$3" "$1"; fi
    if [ -n "$9" ] && [ "$shell" != "$4" ]; then usermod --shell "$4" "$1"; fi
else
    own=--user-group
    if getent group "$1" >/dev/null; then own=--gid=$1; fi
    useradd ${6:+--system} ${2:+--uid "$2"} "$own" --no-create-home --home-dir "$3" --shell "$4" "$1"
fi
[ -z "$5" ] || usermod --append --groups "$5" "$1"
if [ -n "$7" ] && [ ! -d "$3" ]; then
    mkdir -p "$(dirname "$3")"
    install -d -m "$7" -o "$1" -g "$(id -gn "$1")" "$3"
fi
"""


@dataclass(frozen=True)
class AddUser:
    """Create an account without a password, with its home unless that is below /home."""

    user: User

    @property
    def title(self) -> str:
        return f"add the user {self.user.name}"

    def actions(self) -> tuple[Action, ...]:
        user = self.user
        uid = str(user.uid) if user.uid else ""
        mode = "" if is_at_boot(user) or home(user) in _NO_HOME else _home_mode(user)
        system = "system" if user.system else ""
        words = (user.name, uid, home(user), shell(user), ",".join(user.groups), system, mode)
        given = ("home" if user.home else "", "shell" if user.shell else "")
        return (Run(("sh", "-ec", ADD_USER, "user", *words, *given)),)


def steps(context: Context) -> Iterator[Step]:
    """The accounts, and the file that creates homes below /home at boot: the seal empties /home.

    In a container nothing reads that file. There such a home does not exist unless it is mounted.
    """
    users = context.customization.users
    yield from (AddUser(user) for user in users)
    at_boot = [user for user in users if is_at_boot(user)]
    if at_boot and context.boots:
        yield File(HOMES, _tmpfiles(at_boot).encode())


def home(user: User) -> str:
    """The home directory of the account."""
    return user.home or ("/" if user.system else f"/home/{user.name}")


def shell(user: User) -> str:
    """The login shell of the account."""
    return user.shell or ("/usr/sbin/nologin" if user.system else "/bin/bash")


def is_at_boot(user: User) -> bool:
    """Whether the home is created at boot."""
    return home(user).startswith("/home/")


def _home_mode(user: User) -> str:
    return "0755" if user.system else "0700"


def _tmpfiles(users: Sequence[User]) -> str:
    """Lines of tmpfiles.d(5). A new account has a group of its own name."""
    rows = [f"d {home(user)} {_home_mode(user)} {user.name} {user.name} -\n" for user in users]
    return "".join(["# The homes of the site's accounts: the image has none.\n", *rows])
