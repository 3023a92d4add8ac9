"""The files of an export, and the plan that they are made from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bakery.fleet.plan import Plan

USER_DATA = "user-data"


@dataclass(frozen=True)
class File:
    """A file of an export; `secret` is whether it has the token or a credential of the cloud."""

    name: str
    text: str = field(repr=False)
    secret: bool = False


@dataclass(frozen=True)
class Export:
    """The files, and the command line that starts the other program; DIR in it is their folder."""

    files: tuple[File, ...]
    command: Sequence[str]


def user_data(plan: Plan) -> File:
    """Return the user-data of the servers as a file."""
    return File(USER_DATA, plan.user_data.decode(), secret=True)


def slug(plan: Plan) -> str:
    """Return the beginning of the names of the servers: group and launch, as a host name."""
    return plan.names[0].rpartition("-")[0]
