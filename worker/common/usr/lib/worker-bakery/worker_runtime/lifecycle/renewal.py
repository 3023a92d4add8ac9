"""Decides when a token that TokenCommand prints is renewed, and when to warn that a token ends. Pure.

A token is renewed after two thirds of its life. A renewal that did not bring a better token is repeated, at
growing intervals. Times are seconds since 1970, unless a name says otherwise.
"""

from typing import Any, Mapping, NamedTuple

# Seconds between two tries: at least, at most, and as a part of the token's life.
MIN_PAUSE, MAX_PAUSE, PART_OF_LIFE = 10.0, 3600.0, 0.01
WARNING_SECONDS = 24 * 3600.0  # before the end of a token that nobody renews


class TokenTimes(NamedTuple):
    """When the worker's token was issued, and when it expires (0: never, or there is no token)."""

    issued: float = 0.0
    expires: float = 0.0


class Renewal(NamedTuple):
    """The tries to renew the token, since it was due."""

    tries: int = 0
    last: float = 0.0  # seconds since boot


def token_times(claims: Mapping[str, Any], obtained: float) -> TokenTimes:
    """The times in the claims; a token without an issue time counts as issued when it was obtained."""
    expires, issued = claims.get("exp"), claims.get("iat")
    if not _is_number(expires):
        return TokenTimes()
    return TokenTimes(min(issued if _is_number(issued) else obtained, expires), expires)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def renewal_time(times: TokenTimes) -> float:
    """When the token is to be renewed: after two thirds of its life."""
    return times.issued + (times.expires - times.issued) * 2 / 3


def is_expired(times: TokenTimes, epoch: float) -> bool:
    """Whether the token has expired."""
    return bool(times.expires) and times.expires <= epoch


def is_due(times: TokenTimes, epoch: float) -> bool:
    """Whether a renewal is due."""
    return bool(times.expires) and epoch >= renewal_time(times)


def is_next_try(last: Renewal, times: TokenTimes, now: float) -> bool:
    """Whether the last try is long enough ago; `now` is in seconds since boot."""
    return not last.tries or now - last.last >= pause(times, last.tries)


def pause(times: TokenTimes, tries: int) -> float:
    """Seconds to wait after so many tries."""
    first = max(MIN_PAUSE, (times.expires - times.issued) * PART_OF_LIFE)
    return min(MAX_PAUSE, first * 2.0 ** min(tries - 1, 30))


def is_ending(times: TokenTimes, epoch: float, ends: float, renewed: bool) -> bool:
    """Whether to warn that the token ends before the worker, which ends at `ends`.

    A token that is `renewed` should have been by now.
    """
    if not times.expires or times.expires > ends:
        return False
    life = times.expires - times.issued
    left = min(WARNING_SECONDS, life / 6) if renewed else WARNING_SECONDS
    return epoch >= times.expires - left
