"""The hook of MkDocs: makes the navigation from the folders, and unlinks what is not part of the site.

MkDocs loads this file by its path, with an environment of its own: it imports only the standard library.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# The folders of docs/ in the order of the navigation, and pages that come first in each.
SECTIONS = {
    "tutorial": "Tutorial",
    "how-to": "How-to guides",
    "reference": "Reference",
    "explanation": "Explanation",
    "contributing": "Contributing",
}
FIRST = (
    "commands",
    "worker-file.md",
    "definition-file.md",
    "states.md",
    "exit-codes.md",
    "architecture.md",
    "proof.md",
    "bake-on-el.md",
)
# Where the page of gen-userdata is in the site; scripts/docs writes it.
GENERATOR = "generator"
_GENERATOR_HERE = "<!-- the page of this site -->"
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    config.nav = navigation(Path(config.docs_dir))
    return config


def navigation(docs: Path) -> list[Any]:
    """The value of `nav`: the index, then each section with its pages; folders within one are nested."""
    sections = [(title, docs / name) for name, title in SECTIONS.items() if (docs / name).is_dir()]
    return [{"Home": "index.md"}, *({title: _pages(docs, folder)} for title, folder in sections)]


def _pages(docs: Path, folder: Path) -> list[Any]:
    return list(_entries(docs, folder))


def _entries(docs: Path, folder: Path) -> Iterator[Any]:
    for path in sorted(folder.iterdir(), key=_order):
        if path.is_dir():
            yield {path.name.capitalize(): _pages(docs, path)}
        elif path.suffix == ".md":
            yield path.relative_to(docs).as_posix()


def _order(path: Path) -> tuple[bool, int, str]:
    rank = FIRST.index(path.name) if path.name in FIRST else len(FIRST)
    return path.name != "index.md", rank, path.name


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    plain = with_generator(without_info(markdown))
    return without_outer_links(plain, Path(page.file.abs_src_path).parent, Path(config.docs_dir))


def with_generator(markdown: str) -> str:
    """Link the page of gen-userdata, which is not a document, where a comment says so."""
    link = f'<a class="md-button md-button--primary" href="../{GENERATOR}/index.html">Open the page</a>'
    return markdown.replace(_GENERATOR_HERE, link)


def without_info(markdown: str) -> str:
    """Code blocks without `run`, which is for the tests: superfences would not take them for blocks."""
    return re.sub(r"^( *```\w+) run$", r"\1", markdown, flags=re.MULTILINE)


def without_outer_links(markdown: str, folder: Path, docs: Path) -> str:
    """Links to files of the repository outside docs/ become plain text: the site does not have them."""

    def shown(match: re.Match[str]) -> str:
        text, target, _ = match.groups()
        return text if _is_outside(target, folder, docs) else match[0]

    return _LINK.sub(shown, markdown)


def _is_outside(target: str, folder: Path, docs: Path) -> bool:
    if "://" in target or target.startswith(("mailto:", "/")):
        return False
    path = Path(os.path.normpath(folder / target))
    return not path.is_relative_to(docs) and path.exists()


def foreign(html: str) -> Sequence[str]:
    """What a page of the site would load from another host."""
    loading = re.findall(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)", html
    )
    for link in re.findall(r"<link\b[^>]*>", html):
        if not re.search(r"rel=[\"']?(canonical|next|prev|alternate)", link):
            loading += re.findall(r"href=[\"']?((?:https?:)?//[^\"'\s>]+)", link)
    return loading
