"""Writes text as a ClassAd string, and ClassAd attributes as lines of ASCII."""


def quote(text: str) -> str:
    """A ClassAd string as the startd reads one in its configuration.

    The startd uses the old syntax, in which a backslash stands for itself unless a quote follows it that
    is not the last character of the line. A doubled backslash would be read as two.
    """
    return '"' + text.replace('"', '\\"') + '"'


def printable(text: str) -> str:
    """The text with `?` for everything but printable ASCII, so that it stays on one line.

    Python 3.6 cannot print anything else under LANG=C.
    """
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)
