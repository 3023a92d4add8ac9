"""Small user-data with an infinite or huge effect: the check terminates and reports it."""

from __future__ import annotations

import gzip

import pytest

from bakery.userdata.delivery import clouds
from bakery.userdata.findings import Finding
from bakery.userdata.lint import unknown, wrapping, written
from bakery.userdata.lint.context import Context
from bakery.userdata.lint.shell import effects
from bakery.userdata.lint.written import Leaf

CONF = "/etc/osg-worker.conf"


def check(text: str) -> list[Finding]:
    return wrapping.check(text.encode(), Context(now=0))


def errors_of(text: str) -> list[str]:
    return [one.id for one in check(text) if one.severity == "error"]


@pytest.mark.parametrize(
    "text",
    ["write_files: &a\n - *a", "a: &a {b: *a}", "runcmd: [&a [*a]]", "a: &a\n  <<: *a", "? &a [*a]\n: b"],
)
@pytest.mark.parametrize("header", ["#cloud-config\n", "#cloud-config-archive\n"])
def test_a_document_that_contains_itself(header: str, text: str) -> None:
    (found,) = check(header + text)
    assert (found.id, found.severity) == ("yaml-alias", "error")
    assert "a document that contains itself" in found.message


@pytest.mark.parametrize("key", ["runcmd", "write_files", "unknown"])
@pytest.mark.parametrize("header", ["#cloud-config\n", "#cloud-config-archive\n"])
def test_aliases_that_expand_exponentially(header: str, key: str) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (found,) = check(f"{header}l0: &l0 [x, x, x]\n{levels}{key}: *l29\n")
    assert (found.id, found.severity) == ("yaml-alias", "error")
    assert "larger than 4 MiB" in found.message


def test_harmless_aliases() -> None:
    assert check("#cloud-config\nruncmd:\n - &a [echo, x]\n - *a\nbootcmd: [*a]\n") == []


def test_the_value_of_several_aliases_is_checked_once() -> None:
    twice = "#cloud-config\nusers:\n - &a {name: x, name: y}\n - *a\n"
    assert errors_of(twice) == ["duplicate-key"]


@pytest.mark.parametrize(
    "line",
    [
        "x=$x$x$x$x",
        'x="$x $x"',
        "x+=$x",
        'x=$(echo "$x$x")',
        'printf -v x "%s%s" "$x" "$x"',
        'set -- "$@" "$x"; x="$*"',
        'echo "$x" >/tmp/a; cat /tmp/a /tmp/a >/tmp/b; x=$(cat /tmp/b)',
        'echo "$x" >>/tmp/a; cat /tmp/a >>/tmp/a; x=$(cat /tmp/a)',
        "for i in 1 2 3 4; do x=$x$x; done",
        'x=$(for i in 1 2; do echo "$x"; done)',
        'x=$(echo "$x" && echo "$x")',
    ],
)
def test_a_text_that_grows_becomes_unknown(line: str) -> None:
    text = f"x=abcd\n{line}\n" + f"{line}\n" * 40 + f'echo "Token = $x" >{CONF}\n'
    (made,) = effects.of(text, {}, posix=False, where="", watched=(CONF,)).files[CONF]
    assert made
    assert not unknown.is_known(made.text)
    assert len(made.text) <= unknown.MOST + 10
    assert ("not-judged", "note") in [(one.id, one.severity) for one in _of_script(text)]


def test_a_text_that_is_too_long_is_reported() -> None:
    text = "x=abcd\n" + "x=$x$x$x$x\n" * 20 + f"cat >{CONF} <<E\nToken = $x\nE\n"
    assert any("longer than the check follows" in one.message for one in _of_script(text))


@pytest.mark.parametrize(
    "text",
    [
        "x=$(printf '%01000d' 1)\n" + "".join(f"a{n}=b$x\n" for n in range(30_000)),
        "".join(f"f{n}() {{ {f'f{n + 1}; ' * 9}}}\n" for n in range(9)) + "f9() { :; }\nf0\n",
        "for a in 1 2 3 4 5 6 7 8 9; do\n" * 8 + "echo x >>/tmp/x\n" + "done\n" * 8,
    ],
)
def test_a_script_that_does_too_much_is_not_checked(text: str) -> None:
    (found,) = _of_script(text)
    assert (found.id, found.severity) == ("not-judged", "note")
    assert "more than the check follows" in found.message


def _of_script(text: str) -> list[Finding]:
    """The findings from the effect of a script, without its syntax check by bash."""
    leaf = Leaf("text/x-shellscript", f"#!/bin/bash\n{text}", "", Context(now=0))
    return list(written.findings([leaf], leaf.context))


LARGE = b"#!/bin/bash\n" + b"echo a line of a script\n" * 50_000


@pytest.mark.parametrize("cloud", [None, "vsphere"])
@pytest.mark.parametrize("data", [LARGE, b"#cloud-config\n" + LARGE, b"\xff" * len(LARGE)])
def test_a_size_that_no_cloud_accepts_is_the_only_finding(data: bytes, cloud: str | None) -> None:
    (found,) = wrapping.check(data, Context(now=0, cloud=cloud))
    assert (found.id, found.severity) == ("too-large", "error")
    assert all(2 * one.limit <= wrapping.MOST_CHECKED for one in clouds.CLOUDS.values())


def test_the_limit_also_holds_for_the_decompressed_size() -> None:
    (found,) = wrapping.check(gzip.compress(LARGE), Context(now=0))
    assert (found.id, found.severity) == ("too-large", "error")


@pytest.mark.parametrize("word", ["{" + "," * 100_000, "[" * 100_000, "a" * 100_000, f'"{"a" * 100_000}"'])
def test_a_long_word_is_expanded(word: str) -> None:
    made = effects.of(f"echo {word} >{CONF}\n", {}, posix=False, where="", watched=(CONF,)).files[CONF]
    assert [one.text for one in made if one] == [word.strip('"') + "\n"]
