"""The order of versions is that of the real dpkg and rpm."""

from __future__ import annotations

import itertools
import random

from bakery.freshness.versions import deb, rpm
from provisioner.process import run

PIECES = ("0", "1", "9", "10", "00", "a", "Z", "rc", ".", "+", "~", "el9", "_")


def generated(pieces: tuple[str, ...], seed: int, count: int) -> list[str]:
    """Texts that begin with a digit; the seed makes them the same in each run."""
    choose = random.Random(seed)
    return ["1" + "".join(choose.choices(pieces, k=choose.randint(0, 5))) for _ in range(count)]


def test_dpkg() -> None:
    plain = generated(tuple(piece for piece in PIECES if piece != "_"), 1, 14)
    versions = [
        *plain,
        *(f"{one}-{two}" for one, two in zip(plain, reversed(plain), strict=True)),
        "1:1",
        "0:1",
    ]
    pairs = list(itertools.combinations(versions, 2))
    # One process for all: a line of this script for each pair.
    script = "\n".join(
        f"for op in lt eq gt; do ! dpkg --compare-versions '{a}' $op '{b}' || echo $op; done"
        for a, b in pairs
    )
    said = run.call(["sh", "-c", script]).stdout.split()
    assert len(said) == len(pairs)
    expected = {"lt": -1, "eq": 0, "gt": 1}
    assert [(a, b, deb(a, b)) for a, b in pairs] == [
        (a, b, expected[word]) for (a, b), word in zip(pairs, said, strict=True)
    ]


def test_rpm() -> None:
    versions = [*generated((*PIECES, "^"), 2, 90)]
    pairs = list(itertools.product(versions, versions))
    rows = ",".join(f'"{one}"' for one in versions)
    body = "for _,a in ipairs(v) do for _,b in ipairs(v) do print(rpm.vercmp(a,b)..' ') end end"
    lua = f"local v={{{rows}}} {body}"
    said = run.call(["rpm", "--eval", f"%{{lua:{lua}}}"]).stdout.split()
    found = [rpm(f"{a}-1", f"{b}-1") for a, b in pairs]
    assert list(zip(pairs, found, strict=True)) == list(zip(pairs, map(int, said), strict=True))
