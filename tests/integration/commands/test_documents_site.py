"""The documentation as a site: MkDocs builds it strictly, and no page loads anything from another host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import documents
from tests.conftest import Folders
from tests.documents import PAGES, ROOT
from tests.integration.tool_environments import install_npm
from tools.reference import site


@pytest.fixture(scope="module")
def built(folders: Folders) -> Path:
    """The site; MkDocs and npm are installed first, if this machine does not have them yet."""
    install_npm()
    folder = folders("site") / "site"
    done = docs("build", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def docs(verb: str, folder: Path, checkout: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SITE_DIR": str(folder)}
    command = [str(checkout / "scripts" / "docs"), verb]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def html(folder: Path) -> Iterator[Path]:
    return folder.rglob("*.html")


def test_every_page_is_built(built: Path) -> None:
    wanted = {
        page.relative_to(ROOT / "docs").with_suffix(".html") for page in PAGES if page.name != "README.md"
    }
    found = {path.relative_to(built) for path in html(built)}
    assert wanted <= found
    assert (built / "search" / "search_index.json").is_file()


def test_every_code_block_is_shown_as_one(built: Path) -> None:
    for page in PAGES:
        if page.name != "README.md":
            shown = (built / page.relative_to(ROOT / "docs")).with_suffix(".html").read_text()
            found = re.findall(r'<div class="(?:language-\w+ )?highlight">', shown)
            assert len(found) == len(documents.blocks(page.read_text())), page


def test_nothing_is_loaded_from_another_host(built: Path) -> None:
    for path in html(built):
        text = path.read_text()
        assert not site.foreign(text), path
        assert 'class="mermaid"' not in text, f"{path}: Material would fetch mermaid from another host"
    for sheet in built.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text()), sheet


def test_links_within_the_site_have_targets(built: Path) -> None:
    """Of the pages as they were built: navigation, search and the text."""
    for path in html(built):
        if path.name != "404.html":
            for target in re.findall(r"<a\b[^>]*\bhref=\"([^\"#:?]+)", path.read_text()):
                is_file = target.startswith(("http", "mailto")) or (path.parent / target).exists()
                assert is_file, f"{path.relative_to(built)}: {target}"


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    for name in ("docs", "tools", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "mkdocs.yml", copy / "mkdocs.yml")
    page = copy / "docs" / "reference" / "states.md"
    page.write_text(page.read_text() + "\n[gone](gone.md)\n")
    done = docs("pages", tmp_path / "site", copy)
    assert done.returncode == 1
    assert "gone.md" in done.stdout + done.stderr
