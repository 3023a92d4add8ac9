"""Checks that a value is what its kind requires. Pure; a problem is a predicate and never quotes the value.

A kind that contains | is the list of the permitted values.
"""

import re
import shlex
import unicodedata
from typing import Callable, Dict, Optional, Sequence

from worker_runtime.configuration import expression, servers

# $(DOLLAR) is the only way to write a dollar sign, and HTCondor misreads two uses of it:
# $(DOLLAR)$(DOLLAR)(X) is read as $$(DOLLAR)(X), and $(DOLLAR)(DOLLAR)(X) as $(X).
_NOT_REPRESENTABLE = re.compile(r"\$\$|\$\(DOLLAR", re.IGNORECASE)
# A year; 0 means no limit.
_MAX_SECONDS = 366 * 24 * 3600


def problem_with(kind: str, value: str) -> Optional[str]:
    """What is wrong with the value, as a predicate that follows the name of the key; None if nothing is."""
    if _has_control(value):
        return "contains a control character (a tab, perhaps)"
    if "|" in kind:
        return _choice(kind.split("|"), value)
    return _KINDS[kind](value)


def _choice(choices: Sequence[str], value: str) -> Optional[str]:
    return None if value in choices else "is not one of: " + ", ".join(choices)


def _has_control(value: str) -> bool:
    # Zl and Zp are line and paragraph separators, which some readers treat as a new line. Cs is what Python
    # makes of an environment variable that is not UTF-8.
    return any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in value)


def _string(value: str) -> Optional[str]:
    if _NOT_REPRESENTABLE.search(value):
        return "contains $$ or $(DOLLAR), which HTCondor's configuration cannot represent"
    return None


def _label(value: str) -> Optional[str]:
    """Text that cannot break out of an expression."""
    if '"' in value or "\\" in value:
        return 'contains a " or a backslash'
    return _string(value)


def _expression(value: str) -> Optional[str]:
    return _string(value) or expression.problem(value)


def _token(value: str) -> Optional[str]:
    if not all("!" <= character <= "~" for character in value):
        return "contains a blank or a character that is not ASCII"
    if '"' in value or "'" in value:
        return "contains a quotation mark; write it without quotes"
    return None


def _hosts(value: str) -> Optional[str]:
    """Addresses separated by commas, see servers.py."""
    return next((problem for one in servers.addresses(value) for problem in [_host(one)] if problem), None)


def _host(address: str) -> Optional[str]:
    match = servers.ADDRESS.match(address)
    if not match or len(address) > 255:
        return "is not of the form HOST or HOST:PORT, or several of them with commas"
    if match.group("port") and not 0 < int(match.group("port")) < 65536:
        return "has a port that is not between 1 and 65535"
    if match.group("low") and int(match.group("low")) > int(match.group("high")):
        return "has a range of sockets that ends before it starts"
    return None


def _domain(value: str) -> Optional[str]:
    """A trust domain. (src/condor_io/condor_auth_passwd.cpp: no blank, no comma.)"""
    if not re.match(r"[A-Za-z0-9._:/~@+-]{1,255}\Z", value):
        return "is not the name of a trust domain, such as pool.example.org"
    return None


def _site(value: str) -> Optional[str]:
    """A name as jobs list it in DESIRED_Sites, which separates names by commas."""
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}\Z", value):
        return "is not a name of at most 63 letters, digits, blanks and any of . _ -"
    return None


def _country(value: str) -> Optional[str]:
    return None if re.match(r"[A-Z]{2}\Z", value) else "is not a country code of two letters, such as US"


def _seconds(value: str) -> Optional[str]:
    # Not isdigit(): that takes the digits of all scripts.
    if not re.match(r"[0-9]{1,9}\Z", value) or int(value) > _MAX_SECONDS:
        return "is not a whole number of seconds between 0 and %d" % _MAX_SECONDS
    return None


def _path(value: str) -> Optional[str]:
    return None if value.startswith("/") else "is not an absolute path"


def _command(value: str) -> Optional[str]:
    """A program by its path and its arguments, quoted as in a shell. No shell runs it."""
    try:
        words = shlex.split(value)
    except ValueError:
        return "has a quotation mark that is never closed"
    return _path(words[0]) if words else "names no program"


_KINDS: Dict[str, Callable[[str], Optional[str]]] = {
    "string": _string,
    "label": _label,
    "token": _token,
    "secret": _token,
    "expression": _expression,
    "hosts": _hosts,
    "domain": _domain,
    "seconds": _seconds,
    "site": _site,
    "country": _country,
    "path": _path,
    "command": _command,
}
