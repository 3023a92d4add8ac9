"""Get a worker's token from PROMINENCE: POST /token with the user's token; the answer is {"token": …}.

The API is that of PROMINENCE's document on workers. TLS certificates are verified (SSL_CERT_FILE adds
others); an answer is read with limits on its size and on the time, and never repeated in a message.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from bakery.tokens import https_post
from bakery.tokens.https_post import Answer, Limits
from bakery.tokens.problems import problems_of
from provisioner.errors import BadInput, BakeryError, Unreachable
from provisioner.process.scrub import hide, scrub

_REDIRECTS = 3
_LIMITS = Limits()
_CREATED = (200, 201)
_REDIRECTING = (301, 302, 307, 308)


Post = Callable[[str, str, Limits], Answer]


def fetch(
    url: str,
    user_token: str,
    limits: Limits = _LIMITS,
    *,
    post: Post | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Return a new token for a worker of the user whose token is `user_token`.

    `url` is the URL of the API (PROMINENCE_URL). Raises BadInput: the URL or the user's token is wrong, or
    refused; Unreachable: no answer, or only errors of the server; BakeryError: the answer is no token.
    """
    endpoint = endpoint_of(url)
    check_user_token(user_token)
    hide(user_token)
    for attempt in range(limits.attempts):
        answer = _follow(endpoint, user_token, limits, post or https_post.request)
        if answer.status < 500:
            return _token_of(answer, endpoint)
        if attempt + 1 < limits.attempts:
            pause(limits.pause * 2**attempt)
    raise Unreachable(
        f"{endpoint} answered {limits.attempts} times with an error of the server ({answer.status}).",
        "Try again later, or ask the operators of PROMINENCE.",
    )


def endpoint_of(url: str) -> str:
    """Return the URL to which the request is sent. Raises BadInput."""
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0 and re.fullmatch(r"[!-~]+", url) is not None
    except ValueError:
        valid = False
    if not valid:
        raise BadInput("The URL of PROMINENCE is not a URL.", "Use --url https://HOST/PATH.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise BadInput("The URL of PROMINENCE must not contain a user name, a query or a fragment.")
    if parts.scheme != "https":
        raise BadInput(
            f"The URL of PROMINENCE must begin with https://, not {scrub(parts.scheme)}://: the user's"
            " token would be sent in clear text."
        )
    return f"{url.rstrip('/')}/token"


def check_user_token(text: str) -> None:
    """Raise BadInput for a text that cannot stand in a header; the message does not contain it."""
    if not text:
        raise BadInput("The user token is empty.", "Log in to PROMINENCE and copy the token again.")
    if not re.fullmatch(r"[!-~]{1,16384}", text):
        raise BadInput(
            "The user token is not one word of printable ASCII.", "Copy all of it, and nothing else."
        )


def _follow(endpoint: str, user_token: str, limits: Limits, post: Post) -> Answer:
    """Post, also where the same server redirects to. Raises Unreachable, BadInput, BakeryError."""
    url = endpoint
    for _ in range(_REDIRECTS + 1):
        answer = post(url, user_token, limits)
        if answer.status not in _REDIRECTING:
            return answer
        target = urljoin(url, answer.location)
        if not answer.location or _origin(target) != _origin(url):
            raise BadInput(
                f"{endpoint} redirects to {_host(target)}; the user's token is not sent there.",
                "Check the URL of PROMINENCE (--url).",
            )
        url = target
    raise BadInput(f"{endpoint} redirects more than {_REDIRECTS} times.", "Check --url.")


def _origin(url: str) -> tuple[str, str | None, int] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None


def _host(url: str) -> str:
    try:
        parts: SplitResult = urlsplit(url)
        named = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:
        named = ""
    return scrub(re.sub(r"[^!-~]", "?", named))[:100] if named else "nowhere"


def _token_of(answer: Answer, endpoint: str) -> str:
    if answer.status not in _CREATED:
        raise _refused(answer, endpoint)
    token = _field(answer, endpoint)
    hide(token)
    wrong = [one for one in problems_of(token, now=time.time()) if one.severity == "error"]
    if wrong:
        listed = " ".join(one.message for one in wrong)
        raise BakeryError(
            f"{endpoint} returned a token that a worker cannot use, which was not saved. {listed}",
            "Ask the operators of PROMINENCE.",
        )
    return token


def _field(answer: Answer, endpoint: str) -> str:
    try:
        found: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        kind = re.sub(r"[^a-z0-9/+.-]", "?", answer.kind.partition(";")[0].strip().lower()) or "no type"
        raise BakeryError(
            f"{endpoint} answered with something that is not JSON ({kind[:60]}).",
            "Check that --url is the URL of the API, not that of a web page.",
        ) from None
    token = found.get("token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token.strip():
        raise BakeryError(f"The answer of {endpoint} contains no token.", "Check --url.")
    return token.strip()


def _refused(answer: Answer, endpoint: str) -> BakeryError:
    if answer.status == 401:
        return BadInput(
            f"{endpoint} does not accept the user token (401): it is wrong or has expired.",
            "Log in to PROMINENCE again, and use the new token.",
        )
    if answer.status == 403:
        return BadInput(
            f"{endpoint} does not issue a token for a worker to this user (403).",
            "Ask the operators of PROMINENCE for the permission.",
        )
    if answer.status in (404, 405):
        return BadInput(f"There is no PROMINENCE API at {endpoint} ({answer.status}).", "Check --url.")
    return BakeryError(f"{endpoint} answered with the unexpected status {answer.status}.", "Check --url.")
