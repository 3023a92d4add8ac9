"""The time that no file of a built base exceeds: that of the archive, not of the clock."""

from __future__ import annotations

import pytest

from bakery.runtime.mirror import Mirror
from bakery.sources import archive_date
from bakery.sources.http import Answer
from provisioner.errors import Unreachable

MAIN, SECURITY = "http://mirror.invalid/debian", "http://mirror.invalid/security"
DATES = {
    f"{MAIN}/dists/trixie/InRelease": "Sat, 21 Nov 2026 09:15:44 UTC",
    f"{MAIN}/dists/trixie-updates/Release": "Sat, 28 Nov 2026 02:15:35 UTC",
    f"{SECURITY}/dists/trixie-security/InRelease": "Fri, 27 Nov 2026 02:53:01 UTC",
}


def get(url: str, etag: str = "", modified: str = "") -> Answer:
    if url not in DATES:
        return Answer(404)
    return Answer(200, f"Origin: Debian\nDate: {DATES[url]}\nValid-Until: Sat, 05 Dec 2026\n".encode())


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def test_the_newest_index_decides_whatever_its_file() -> None:
    assert archive_date.of(Mirror(MAIN, SECURITY), "trixie", get) == 1795832135
    assert archive_date.of(Mirror(MAIN, ""), "trixie", get) == 1795832135


def test_the_variable_decides_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert archive_date.of(Mirror("", ""), "trixie", get) == 1_700_000_000


def test_an_index_that_is_not_there_or_has_no_date() -> None:
    with pytest.raises(Unreachable, match="debian/dists/sid has no index with a date"):
        archive_date.of(Mirror(MAIN, ""), "sid", get)
    with pytest.raises(Unreachable, match="has no index with a date"):
        archive_date.of(Mirror(MAIN, ""), "trixie", lambda *_: Answer(200, b"<html>"))
