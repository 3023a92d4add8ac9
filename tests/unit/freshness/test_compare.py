"""Which offers are updates of what an image has."""

from __future__ import annotations

from dataclasses import replace

from bakery.freshness import compare, question
from bakery.freshness.lock import Lock, Package, Repository, Update
from bakery.freshness.metadata.offers import Offer

MAIN = Repository("main", "apt", "http://m", "trixie", priority=990)
SECURITY = Repository("security", "apt", "http://s", "trixie-security", priority=990, security=True)
OTHER = Repository("other", "apt", "http://o", "sid", priority=500)
LOCK = Lock(
    "apt", "amd64", (Package("ssl", "amd64", "1-1"), Package("doc", "all", "1")), (MAIN, SECURITY, OTHER)
)


def offer(version: str, name: str = "ssl", architecture: str = "amd64") -> Offer:
    return Offer(name, architecture, version)


def found(lock: Lock = LOCK, **offers: list[Offer]) -> list[tuple[str, str, bool]]:
    return [(one.name, one.available, one.security) for one in compare.updates(lock, offers)]


def test_a_newer_version_is_an_update() -> None:
    assert found(main=[offer("1-1"), offer("1-2")]) == [("ssl", "1-2", False)]
    assert found(main=[offer("1-1"), offer("0-9")]) == []


def test_a_security_update_below_the_newest_version_counts() -> None:
    assert found(main=[offer("1-3")], security=[offer("1-2")]) == [("ssl", "1-3", True)]
    # It is in the image already.
    assert found(main=[offer("1-3")], security=[offer("1-1")]) == [("ssl", "1-3", False)]


def test_a_repository_of_lower_priority_does_not_replace() -> None:
    assert found(main=[offer("1-1")], other=[offer("2-1")]) == []
    # The installed version is in no repository: apt gives it priority 100.
    assert found(other=[offer("2-1")]) == [("ssl", "2-1", False)]


def test_architectures() -> None:
    assert found(main=[offer("2", "doc", "amd64")]) == [("doc", "2", False)]
    assert found(main=[offer("2-1", "ssl", "i386")]) == []


def test_the_newest_of_several_kernels_counts() -> None:
    kernels = tuple(Package("kernel", "x86_64", f"5.14-{number}.el9") for number in (9, 10))
    lock = Lock("rpm", "x86_64", kernels, (replace(MAIN, system="rpm"),))
    assert found(lock, main=[offer("5.14-10.el9", "kernel", "x86_64")]) == []
    assert found(lock, main=[offer("5.14-11.el9", "kernel", "x86_64")]) == [
        ("kernel", "5.14-11.el9", False)
    ]


def test_modules_and_other_packages_do_not_replace_each_other() -> None:
    lock = Lock("rpm", "x86_64", (Package("perl", "x86_64", "5-1.el8"),), (replace(MAIN, system="rpm"),))
    assert found(lock, main=[offer("6-1.module_el8.9.0+1", "perl", "x86_64")]) == []


def test_origins() -> None:
    offers = {"main": [offer("1-0")], "security": [offer("1-1")], "other": [offer("1-1")]}
    assert [one.origin for one in compare.with_origins(LOCK, offers)] == ["security", ""]


def test_updates_that_the_last_bake_left_are_no_reason_to_bake() -> None:
    kernel = Update("linux-image", "amd64", "6.1", "6.2", "main")
    lock = replace(LOCK, kept=(kernel,))
    newer = replace(kernel, available="6.3")
    assert question.worth_baking((kernel,), lock) == ()
    assert question.worth_baking((newer,), lock) == (newer,)
