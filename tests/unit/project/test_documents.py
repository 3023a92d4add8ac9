"""The documentation: generated pages are current, links resolve, and every example is a valid command."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from bakery.base_proofs import result_file
from bakery.base_proofs.record import Record, statement, summary
from bakery.commands import bases as bases_command
from bakery.image import bases
from provisioner import errors
from tests import documents
from tests.documents import PAGES, ROOT, Block, name
from tools.reference import commands, findings, image_tests, pages, site, tables
from tools.reference import markdown as markdown_of
from tools.reference.markdown import Outdated

README = ROOT / "README.md"
DOCS = [page for page in PAGES if page != README]


# --- generated pages ---------------------------------------------------------------------------


def test_the_generated_pages_are_current() -> None:
    assert [name(path) for path in pages.outdated()] == [], "run scripts/docs generate"


def test_a_page_that_differs_or_belongs_to_no_command_is_outdated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "REFERENCE", tmp_path)
    assert pages.outdated() == list(pages.pages())
    pages.write()
    assert pages.outdated() == []
    (tmp_path / "states.md").write_text("changed")
    (tmp_path / "commands" / "gone.md").write_text("# gone")
    assert {path.name for path in pages.write()} == {"states.md", "gone.md"}
    assert not (tmp_path / "commands" / "gone.md").exists()


def test_a_name_without_a_sentence_and_a_sentence_without_a_name_are_errors() -> None:
    with pytest.raises(Outdated, match="b has no sentence"):
        markdown_of.described("x", ["a", "b"], {"a": "A"})
    with pytest.raises(Outdated, match="no c any more"):
        markdown_of.described("x", ["a"], {"a": "A", "c": "C"})


def test_a_severity_that_the_sentence_leaves_out_is_an_error() -> None:
    assert {"error", "warning"} <= findings.severities()["foreign-token"]
    with pytest.raises(Outdated, match="also is note"):
        findings._checked("x", ["error", "text"], {"error", "note"})


def test_a_cell_is_one_line_and_keeps_its_bars() -> None:
    shown = "| a | b |\n| --- | --- |\n| x&#124;y z | |\n| <code>&lt;a&gt;&#124;b</code> `c` | |"
    assert markdown_of.table(("a", "b"), [("x|y\nz", ""), ("`<a>|b` `c`", "")]) == shown


def test_every_image_test_has_a_level() -> None:
    found = list(image_tests.tests())
    assert {"offline", "boot"} <= {marker for test in found for marker in test.markers}
    assert all({"offline", "boot"} & test.markers for test in found)


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    inner = commands.verbs(parser)
    yield from (leaf for verb in inner.values() for leaf in leaves(verb))
    if not inner:
        yield parser


@pytest.mark.parametrize("program", commands.programs(), ids=lambda program: program.name)
def test_every_option_has_a_meaning(program: commands.Program) -> None:
    for parser in leaves(program.parser):
        options = [action for action in parser._actions if action.option_strings]
        assert {action.dest for action in options if not action.help} <= {"accel"}


# --- exit codes --------------------------------------------------------------------------------


def classes() -> dict[str, int]:
    return {
        kind: found.exit_code
        for kind, found in inspect.getmembers(errors, inspect.isclass)
        if issubclass(found, errors.BakeryError) and found not in (errors.BakeryError, errors.Interrupted)
    }


def test_every_cause_has_an_exit_code_of_its_own() -> None:
    assert len(set(classes().values())) == len(classes())
    assert all(f"| {code} | `{kind}` |" in tables.exit_codes() for kind, code in classes().items())


def test_signals_end_with_the_shell_s_codes() -> None:
    assert (errors.Interrupted(2).exit_code, errors.Interrupted(15).exit_code) == (130, 143)


def test_an_error_keeps_its_code_across_a_process_boundary() -> None:
    for kind, code in classes().items():
        if kind != "CommandFailed":
            made = getattr(errors, kind)("what", "do")
            again = errors.from_event(json.loads(json.dumps(errors.to_event(made))))
            assert (again.exit_code, str(again)) == (code, "what do")


# --- all pages ---------------------------------------------------------------------------------


def wrong(pages: Iterable[Path], found: Callable[[Path], Sequence[object]]) -> dict[str, Sequence[object]]:
    """What is found on each page where there is any. A page is no test: there are a hundred."""
    return {name(page): mistakes for page in pages if (mistakes := found(page))}


def test_every_link_has_a_target() -> None:
    assert wrong(PAGES, lambda page: documents.broken_links(page, page.read_text())) == {}


def test_every_call_of_our_commands_is_accepted_by_their_parsers() -> None:
    assert wrong(PAGES, lambda page: documents.wrong_calls(page.read_text())) == {}


def test_every_code_block_names_its_language() -> None:
    def unnamed(page: Path) -> list[int]:
        return [block.line for block in documents.blocks(page.read_text()) if not block.language]

    assert wrong(DOCS, unnamed) == {}


def test_every_path_of_the_repository_exists() -> None:
    assert wrong(PAGES, lambda page: documents.missing_paths(page.read_text())) == {}


def test_the_readme_and_the_command_show_the_same_test_state_of_each_base() -> None:
    section = README.read_text().split("## What is proven\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    (others,) = (row for row in rows if "other bases" in row)
    proofs = result_file.read()
    for base in bases.known():
        row = next((row for row in rows if f"`{base.name}`" in row), others)
        found = proofs.get(base.name, Record())
        assert statement(found) in row
        assert bases_command._cells(base, proofs)[-1] == summary(found, base)


def test_the_readme_is_short() -> None:
    """Details are in docs/."""
    assert len(README.read_text().splitlines()) <= 150


# --- the checks themselves ---------------------------------------------------------------------


def test_links_are_found_outside_code_only(tmp_path: Path) -> None:
    text = (
        "# A b\n\n[x](#a-b) [y](#no) [z](gone.md) [w](there.md#c-1) [v](there.md#d) `[q](q.md)`\n"
        "[e](https://example.org/x)\n```text\n[r](r.md)\n```\n"
    )
    page = tmp_path / "page.md"
    page.write_text(text)
    (tmp_path / "there.md").write_text("# `C`\n# C\n")
    assert documents.broken_links(page, text) == ["#no", "gone.md", "there.md#d"]


def test_an_unknown_option_a_missing_script_and_an_unknown_command_are_found() -> None:
    text = (
        "```sh\nsudo A=1 gen-userdata --token-file token --projekt TG-1 >x 2>&1\n"
        "worker-bakery bake --base rocky9 \\\n    -o worker.qcow2 && scripts/nothing\n"
        "cat <<'EOF' >file\nworker-bakery nothing here\nEOF\n```\n"
        "```console\n$ worker-bakery bakes  # not such\nworker-bakery output\n```\n\n"
        "    bake-image --nothing\n"
    )
    found = documents.wrong_calls(text)
    assert [line.split(":")[0] for line in found] == [
        "gen-userdata --token-file token --projekt TG-1",
        "scripts/nothing",
        "worker-bakery bakes",
        "bake-image --nothing",
    ]


def test_what_a_reader_types_at_a_prompt_includes_continuation_lines() -> None:
    block = Block("console", "", "$ a \\\n    b\noutput\n$ c\n", 1)
    assert documents.typed(block) == "a \\\n    b\nc\n"


def test_a_path_that_is_gone_is_found() -> None:
    assert documents.missing_paths("`tests/unit` `bakery/gone.py` `packer/bases/NAME.toml`") == [
        "bakery/gone.py"
    ]


# --- the site ----------------------------------------------------------------------------------


def test_the_navigation_has_every_page_once() -> None:
    def flat(entries: object) -> Iterator[str]:
        if isinstance(entries, str):
            yield entries
        elif isinstance(entries, dict):
            for inner in entries.values():
                yield from flat(inner)
        elif isinstance(entries, list):
            for inner in entries:
                yield from flat(inner)

    docs = ROOT / "docs"
    assert sorted(flat(site.navigation(docs))) == sorted(page.relative_to(docs).as_posix() for page in DOCS)


def test_the_mark_of_blocks_that_are_run_is_not_on_the_site() -> None:
    assert site.without_info("- a\n    ```sh run\n    x\n    ```\n") == "- a\n    ```sh\n    x\n    ```\n"


def test_links_out_of_the_site_become_text() -> None:
    docs = ROOT / "docs"
    text = "[a](../CONTRIBUTING.md#x) [b](index.md) [c](https://example.org) [d](../gone.md)"
    shown = site.without_outer_links(text, docs, docs)
    assert shown == "a [b](index.md) [c](https://example.org) [d](../gone.md)"


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        "<script src=//cdn.example.org/x.js></script>",
        '<link rel="stylesheet" href="https://fonts.example.org/css">',
        '<img alt="" src="http://example.org/x.png">',
    ],
)
def test_what_would_be_loaded_from_another_host_is_seen(html: str) -> None:
    assert len(site.foreign(html)) == 1


def test_links_for_readers_load_nothing() -> None:
    html = '<a href="https://example.org">x</a><link rel="canonical" href="https://example.org/">'
    assert site.foreign(html + '<script src="assets/x.js"></script>') == []
