"""Names of licenses in packages as SPDX license expressions, as far as they have one.

Sources: Debian's copyright format 1.0 (DEP-5), "License specification"; the SPDX License List.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_FAMILIES = r"(?<![\w.-])(GPL|LGPL|AGPL|GFDL)-(\d+(?:\.\d+)?)(\+?)(?![\w.-])"
# Names of Debian's format that are not those of SPDX. Debian's Artistic is that of Perl.
_NAMES = {
    "Expat": "MIT",
    "Artistic": "Artistic-1.0-Perl",
    "Apache-2": "Apache-2.0",
    "MPL-2": "MPL-2.0",
    "BSL-1": "BSL-1.0",
    "CC0": "CC0-1.0",
    "PSF-2": "PSF-2.0",
}


@cache
def expression(name: str) -> str | None:
    """The SPDX license expression of a license name; None if there is none.

    >>> expression("GPL-2+ or Artistic")
    'GPL-2.0-or-later OR Artistic-1.0-Perl'
    """
    from license_expression import ExpressionError, ExpressionParseError

    spelled = re.sub(_FAMILIES, _gnu, name)
    spelled = re.sub(r"[\w.+-]+", lambda word: _NAMES.get(word[0], word[0]), spelled)
    try:
        parsed = licensing().parse(spelled, validate=True, strict=True)
    except (ExpressionError, ExpressionParseError, AttributeError, TypeError):
        return None  # the library raises the last two for some malformed expressions
    return None if parsed is None else str(parsed)


def _gnu(found: re.Match[str]) -> str:
    family, version, later = found.groups()
    full = version if "." in version else f"{version}.0"
    return f"{family}-{full}-{'or-later' if later else 'only'}"


@cache
def licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
