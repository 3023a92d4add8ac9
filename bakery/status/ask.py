"""Query a collector for the slots of workers, and say in words why there is no answer.

`ask` runs bakery/status/ask_ads.py in a child process; `error_of` is pure.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def ask(question: Question, projection: Sequence[str]) -> list[Ad]:
    """Return these attributes of the slots that satisfy the constraint.

    Raises BadInput: the host is no address or no collector, or the collector does not accept the token;
    Unreachable: it does not answer, or refuses the query.
    """
    answer, log = answer_of(question, "bakery.status.ask_ads", {"projection": list(projection)})
    if "failed" in answer:
        raise error_of(question, answer["failed"], log, time.time())
    ads: list[Ad] = answer["ads"]
    return ads


def answer_of(question: Question, module: str, more: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Run one of our programs that query a collector; return its answer and its log.

    `more` is what it reads besides the question. Raises Unreachable: there is no answer; BadInput.
    """
    asked = {
        "address": f"<{authorization.reachable(question.host)}>",
        "token": question.token,
        "constraint": question.constraint,
        **more,
    }
    argv = [sys.executable, "-P", "-m", module]
    try:
        done = run.call(
            argv, stdin=json.dumps(asked).encode(), env=run.environment(), seconds=_ANSWER_SECONDS
        )
    except CommandFailed as error:
        if "timed out" in error.tail:
            raise Unreachable(
                f"{question.host} accepts connections, but does not answer the query within"
                f" {_ANSWER_SECONDS:g} s.",
                "Check --pool, or try again when the collector is less busy.",
            ) from None
        raise
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer, done.stderr


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
