"""The pure parts of the level clone: what machines answer, what two share, what a second boot changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.verify.clone import identity
from bakery.verify.clone.identity import Facts, parse

FIRST = """\
machine-id\taaaa
D-Bus id\taaaa
host name\tworker-proof-1
ssh host key\tED25519 SHA256:one
ssh host key\tRSA SHA256:two
cloud-init instance\tiid-1
once per instance\t/etc/osg-worker.conf, written at 17, inode 4
once per instance\tconfig_ssh, 111: 17.5
"""
SECOND = (
    FIRST.replace("aaaa", "bbbb")
    .replace("-1", "-2")
    .replace("SHA256:one", "SHA256:three")
    .replace("SHA256:two", "SHA256:four")
)


def answered(old: str, new: str, of: str = FIRST) -> Facts:
    assert old in of
    return parse(of.replace(old, new))


def test_two_machines_that_differ_share_nothing() -> None:
    first, second = parse(FIRST), parse(SECOND)
    assert identity.missing(first) == identity.missing(second) == []
    # What cloud-init did, and when, is no identity.
    assert identity.shared(first, second) == []


@pytest.mark.parametrize(
    ("own", "of_both", "names"),
    [
        ("bbbb", "aaaa", ["machine-id", "D-Bus id"]),
        ("worker-proof-2", "worker-proof-1", ["host name"]),
        ("SHA256:four", "SHA256:two", ["ssh host key"]),
        ("iid-2", "iid-1", ["cloud-init instance"]),
    ],
)
def test_what_two_machines_share_is_named_in_order(own: str, of_both: str, names: list[str]) -> None:
    shared = identity.shared(parse(FIRST), answered(own, of_both, SECOND))
    assert [name for name, _ in shared] == names
    lines = identity.explain(shared).splitlines()
    assert len(lines) == len(names)
    assert all(f"{name} " in row and of_both in row for name, row in zip(names, lines, strict=True))


def test_each_name_says_what_to_do_with_the_image() -> None:
    for known in identity.IDENTITIES:
        assert "/" in identity.explain([(known.name, "x")]), known


def test_a_machine_without_a_value_is_incomplete_but_a_random_seed_is_not_required() -> None:
    assert identity.missing(answered("machine-id\taaaa\n", "")) == ["machine-id"]
    assert identity.missing(parse("")) == [
        *("machine-id", "D-Bus id", "host name", "ssh host key", "cloud-init instance")
    ]


def test_the_seed_of_the_image_is_a_seed_of_each_machine(tmp_path: Path) -> None:
    assert identity.of_image(tmp_path) == frozenset()
    seed = tmp_path / "var/lib/systemd/random-seed"
    seed.parent.mkdir(parents=True)
    seed.touch()
    assert identity.of_image(tmp_path) == frozenset()  # systemd ignores it, too
    seed.write_bytes(b"7" * 512)
    brought = identity.of_image(tmp_path)
    first, second = (parse(f"{text}random seed\t{own}") for text, own in ((FIRST, "x"), (SECOND, "y")))
    assert identity.shared(first, second) == []
    assert identity.shared(first | brought, second | brought) == sorted(brought)


def test_the_words_for_what_was_compared_name_what_no_machine_has() -> None:
    words = "machine-id, D-Bus id, host name, ssh host key, no random seed, cloud-init instance"
    assert identity.compared(parse(FIRST), parse(SECOND)) == words
    assert "no random seed" not in identity.compared(parse(FIRST + "random seed\tx\n"), parse(SECOND))


def test_a_second_boot_may_change_the_random_seed_only() -> None:
    before = parse(FIRST + "random seed\tx\n")
    assert identity.changed(before, parse(FIRST + "random seed\ty\n")) == []


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("SHA256:one", "SHA256:new", "ssh host key: ['ED25519 SHA256:one'] became ['ED25519 SHA256:new']"),
        ("host name\tworker-proof-1\n", "", "host name: ['worker-proof-1'] became []"),
        ("17.5", "29.1", "run or written again: config_ssh"),
        ("written at 17, inode 4", "written at 17, inode 9", "run or written again: /etc/osg-worker.conf"),
    ],
)
def test_what_a_second_boot_changed_is_said(old: str, new: str, change: str) -> None:
    assert identity.changed(parse(FIRST), answered(old, new)) == [change]


def test_an_answer_that_was_cut_off_is_an_error_after_which_the_question_is_repeated() -> None:
    with pytest.raises(ValueError, match="unpack"):
        parse("machine-id\taaaa\nD-Bus")
