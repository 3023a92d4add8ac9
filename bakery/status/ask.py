"""Query a collector for the slots of workers, and say in words why there is no answer.

`ask` runs bakery/status/ask_ads.py in a child process; `error_of` is pure.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bakery.status import ranges
from bakery.status.workers import Ad
from bakery.tokens import authorization
from bakery.tokens.authorization import Reply
from bakery.tokens.claims import claims_of
from provisioner.errors import BadInput, BakeryError, CommandFailed, Unreachable
from provisioner.process import run

_ANSWER_SECONDS = 60.0  # more than QUERY_TIMEOUT of ask_ads


@dataclass(frozen=True)
class Question:
    """A query: the collector as HOST[:PORT][?…], a READ token ("": anonymous), and a ClassAd constraint."""

    host: str
    token: str
    constraint: str


@dataclass(frozen=True)
class Collector:
    """The collector that answered: its HTCondor, as $CondorVersion: …$, and its clock.

    The clock is ahead of ours by at least so many seconds, behind if negative; it is `up` for so many
    seconds. None if unknown.
    """

    version: str
    ahead: float | None
    up: float | None = None


Take = Callable[[list[Ad], Collector], None]


class _Line(msgspec.Struct):
    """A line of ask_ads, of any kind."""

    part: int = 0
    ads: list[dict[str, Any]] = []
    others: list[tuple[int, str, Any]] = []
    ends: bool = False
    version: str | None = None
    ahead: float | None = None
    up: float | None = None
    failed: str = ""


@dataclass
class _Parts:
    """Puts lines together to parts, and hands each part over."""

    projection: Sequence[str]
    take: Take
    collector: Collector = Collector("", None)
    failed: str = ""
    _ads: defaultdict[int, list[Ad]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._names = {name.casefold(): name for name in self.projection}
        self._known = frozenset(self.projection)

    def read(self, text: str) -> None:
        line = _DECODER.decode(text)
        if line.version is not None:
            self.collector = Collector(line.version, line.ahead, line.up)
        self.failed = self.failed or line.failed
        for place, name, value in line.others:
            if value is None:
                del line.ads[place][name]
            else:
                line.ads[place][name] = value
        renamed = (ad if ad.keys() <= self._known else self._renamed(ad) for ad in line.ads)
        self._ads[line.part].extend(renamed)
        if line.ends:
            self.take(self._ads.pop(line.part), self.collector)

    def _renamed(self, ad: Mapping[str, Any]) -> Ad:
        """With the names of the projection: in HTCondor upper and lower case are the same."""
        named = ((self._names.get(name.casefold()), value) for name, value in ad.items())
        return {name: value for name, value in named if name}


_DECODER = msgspec.json.Decoder(_Line)


def ask(
    question: Question,
    projection: Sequence[str],
    take: Take,
    of_dynamic: Sequence[str] = (),
    limit: int = ranges.LIMIT,
) -> Collector:
    """Call `take` with parts of the slots that satisfy the constraint; all slots of a worker are in one.

    They have the attributes of `projection`; in a large answer, dynamic slots have those of `of_dynamic`
    (none: the same). `limit` is that of ranges.constraints.

    Raises BadInput: the host is no address or no collector, or the collector does not accept the token;
    Unreachable: it does not answer, or refuses the query.
    """
    parts = _Parts(projection, take)
    more = {"projection": list(projection), "of_dynamic": list(of_dynamic), "limit": limit}
    asked = _asked(question, more)
    try:
        log = run.lines(
            _argv("bakery.status.ask_ads"),
            parts.read,
            stdin=asked,
            env=run.environment(),
            silence=_ANSWER_SECONDS,
        )
    except CommandFailed as error:
        raise _silent(question, error) from None
    if parts.failed:
        raise error_of(question, parts.failed, log, time.time())
    return parts.collector


def answer_of(question: Question, module: str, more: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Run one of our programs that query a collector; return its answer and its log.

    `more` is what it reads besides the question. Raises Unreachable: there is no answer; BadInput.
    """
    asked, argv = _asked(question, more), _argv(module)
    try:
        done = run.call(argv, stdin=asked, env=run.environment(), seconds=_ANSWER_SECONDS)
    except CommandFailed as error:
        raise _silent(question, error) from None
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer, done.stderr


def _argv(module: str) -> list[str]:
    return [sys.executable, "-P", "-m", module]


def _asked(question: Question, more: Mapping[str, Any]) -> bytes:
    """Raises BadInput: the host is no address; Unreachable."""
    address = f"<{authorization.reachable(question.host)}>"
    token, constraint = question.token, question.constraint
    return json.dumps({"address": address, "token": token, "constraint": constraint, **more}).encode()


def _silent(question: Question, error: CommandFailed) -> BakeryError:
    if "timed out" not in error.tail:
        return error
    return Unreachable(
        f"{question.host} accepts connections, but does not answer the query within {_ANSWER_SECONDS:g} s.",
        "Check --pool, or try again when the collector is less busy.",
    )


def error_of(question: Question, failed: str, log: str, now: float) -> BakeryError:
    """Return the error for a query that failed. `log` is that of HTCondor's library."""
    host = question.host
    if failed == "constraint":
        return BadInput(f"{question.constraint} is not a ClassAd expression.", "Correct the names.")
    reply = Reply(authorized=False, log=log, collector=False if failed == "collector" else None)
    if wrong := authorization.no_collector(host, reply):
        return wrong
    if claims := claims_of(question.token):
        verdict = authorization.judge(claims, "READ", reply, now)
        return BadInput(f"{host} does not accept the token. {verdict.reason}", verdict.fix)
    if _is_denied(log):
        return Unreachable(
            f"{host} refuses anonymous queries.", "Use --token-file with a token for READ (token create)."
        )
    if re.search(r"timeout reading|timed out", log):
        return Unreachable(
            f"{host} accepts connections, but did not answer in time: it is no collector, or overloaded.",
            "Check --pool, or try again in a few minutes.",
        )
    reason = [line for line in log.splitlines() if re.search(r"ERROR|failed", line)][-1:]
    said = f" HTCondor reports: {authorization.shown_line(reason[0])}" if reason else ""
    return Unreachable(f"{host} did not answer the query.{said}", "Check --pool.")


def _is_denied(log: str) -> bool:
    """Whether the collector requires authentication, or denies READ to those that do not authenticate."""
    return bool(re.search(r'"DENIED"|required authentication .* failed|Failed to authenticate', log))
