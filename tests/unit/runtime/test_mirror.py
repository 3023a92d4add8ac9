from __future__ import annotations

from pathlib import Path

import pytest

from bakery.runtime import mirror
from bakery.runtime.mirror import Mirror
from provisioner.errors import BadInput

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.invalid/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.invalid/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://other.invalid/debian
Suites: trixie
Components: main
Enabled: no
"""
ONE_LINE = """\
# deb http://commented.invalid/debian trixie main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian trixie main contrib # x
deb-src http://mirror.invalid/debian trixie main
deb http://mirror.invalid/debian-security trixie-security main
"""


def apt(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / "sources.list.d").mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"), [("sources.list.d/debian.sources", DEB822), ("sources.list.d/a.list", ONE_LINE)]
)
def test_mirror_of_this_machine_is_found(tmp_path: Path, name: str, text: str) -> None:
    found = mirror.find(apt=apt(tmp_path, name, text))
    assert found == Mirror("http://mirror.invalid/debian", "http://mirror.invalid/debian-security")


def test_option_overrides_the_apt_configuration(tmp_path: Path) -> None:
    given = mirror.find("http://given.invalid/debian/", apt(tmp_path, "sources.list.d/a.list", ONE_LINE))
    assert given == Mirror("http://given.invalid/debian", "")


def test_third_party_repositories_are_ignored(tmp_path: Path) -> None:
    text = "deb http://tool.invalid/apt nodistro2024.1 main\n"
    with pytest.raises(BadInput, match="--mirror"):
        mirror.find(apt=apt(tmp_path, "sources.list.d/tool.list", text))


def test_sources_contain_updates_and_security() -> None:
    text = Mirror("http://m.invalid/debian", "http://m.invalid/security").sources("trixie")
    assert "Suites: trixie trixie-updates\n" in text
    assert "Suites: trixie-security\n" in text
    assert "trixie-security" not in Mirror("http://m.invalid/debian", "").sources("trixie")


UBUNTU = """\
Types: deb
URIs: http://ubuntu.invalid/ubuntu/
Suites: noble noble-updates noble-backports
Components: main restricted universe multiverse

Types: deb
URIs: http://ubuntu.invalid/ubuntu/
Suites: noble-security
Components: main restricted universe multiverse
"""


def test_an_ubuntu_mirror_is_not_a_debian_mirror(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"does not contain a Debian mirror\. Use --mirror"):
        mirror.find(apt=apt(tmp_path, "sources.list.d/ubuntu.sources", UBUNTU))


def test_a_debian_mirror_beside_that_of_ubuntu_is_found(tmp_path: Path) -> None:
    apt(tmp_path, "sources.list.d/a.sources", UBUNTU)
    found = mirror.find(apt=apt(tmp_path, "sources.list.d/debian.sources", DEB822))
    assert found == Mirror("http://mirror.invalid/debian", "http://mirror.invalid/debian-security")


def test_a_machine_without_apt_has_no_mirror(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--mirror"):
        mirror.find(apt=tmp_path / "missing")
