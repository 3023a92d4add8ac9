"""Token files as HTCondor reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakery.tokens import token_file
from bakery.tokens.token_file import FileFacts, Line, facts_of, judge, lines_of, problems_of_file
from provisioner.errors import BadInput
from tests.unit.userdata.test_token import NOW, POOL, made


def names(facts: FileFacts | None, data: bytes = b"") -> list[tuple[str, str]]:
    return [(one.name, one.severity) for one in problems_of_file(facts, data)]


def facts(name: str = "token", mode: int = 0o600, owner: int = 0, reader: int | None = 0) -> FileFacts:
    return FileFacts(Path("tokens.d") / name, mode, owner, reader)


def test_the_lines_of_a_file() -> None:
    assert lines_of(b"# ours\r\n\r\n  abc\t\r\ndef") == [Line(3, "abc"), Line(4, "def")]
    assert lines_of(b"\xef\xbb\xbfabc") == [Line(1, "abc")]
    for data in (b"", b"\n", b"# abc\n"):
        with pytest.raises(BadInput):
            lines_of(data)


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        (facts(), []),
        (None, []),
        (facts(mode=0o400), []),
        (facts(mode=0o640), [("open-token-file", "error")]),
        (facts(owner=5), [("foreign-token-file", "error")]),
        (facts(owner=5, reader=None), []),
        (facts(".x"), [("ignored-token-file", "error")]),
        (facts("x~", reader=None), [("ignored-token-file", "warning")]),
        (
            facts("#x", 0o666, 7),
            [
                ("open-token-file", "error"),
                ("foreign-token-file", "error"),
                ("ignored-token-file", "error"),
            ],
        ),
    ],
)
def test_files_that_htcondor_ignores(found: FileFacts | None, problems: list[tuple[str, str]]) -> None:
    assert names(found) == problems
    assert {name for name, _ in problems} <= set(token_file.NAMES)


def test_a_byte_order_mark() -> None:
    assert names(facts(), b"\xef\xbb\xbfeyJ") == [("marked-token-file", "error")]
    for data in (b"\xef\xbb\xbf# ours\neyJ", b"\xef\xbb\xbfother\neyJ"):
        assert names(facts(), data) == [("marked-token-file", "warning")]
        assert lines_of(data) == [Line(2, "eyJ")]


@pytest.mark.parametrize(
    "name", ["token", "a.b", "x.jwt", "x.shx", "sh", "x~y", "flock.opensciencegrid.org"]
)
def test_names_that_htcondor_reads(name: str) -> None:
    assert not token_file.is_ignored(name)


def test_the_facts_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "tokens.d"
    folder.mkdir()
    for path, reader in ((folder / "token", os.geteuid()), (tmp_path / "token", None)):
        path.write_text("x")
        path.chmod(0o640)
        assert facts_of(path) == FileFacts(path, 0o640, os.geteuid(), reader)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert facts_of(pipe) is None


def test_the_first_token_of_the_pool_counts() -> None:
    """As HTCondor does, tokens of other issuers are left out, if one of the pool is there."""
    mine, other, old = Line(2, made()), Line(1, made(iss="other.example")), Line(3, made(exp=1))
    assert [one.line for one in judge([other, mine, old], trust_domain=POOL, now=NOW)] == [mine, old]
    [alone] = judge([other], trust_domain=POOL, now=NOW)
    assert not alone.usable
    assert len(judge([other, mine], now=NOW)) == 2
