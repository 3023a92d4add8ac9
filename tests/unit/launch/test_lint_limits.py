"""User-data that is small and means something endless or huge: the check ends, and says so."""

from __future__ import annotations

import pytest

from bakery.launch.findings import Finding
from bakery.launch.lint import wrapping
from bakery.launch.lint.context import Context


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
def test_aliases_that_multiply(header: str, key: str) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    (found,) = check(f"{header}l0: &l0 [x, x, x]\n{levels}{key}: *l29\n")
    assert (found.id, found.severity) == ("yaml-alias", "error")
    assert "larger than 4 MiB" in found.message


def test_aliases_that_are_harmless() -> None:
    assert check("#cloud-config\nruncmd:\n - &a [echo, x]\n - *a\nbootcmd: [*a]\n") == []


def test_what_an_alias_names_is_looked_at_once() -> None:
    twice = "#cloud-config\nusers:\n - &a {name: x, name: y}\n - *a\n"
    assert errors_of(twice) == ["duplicate-key"]
