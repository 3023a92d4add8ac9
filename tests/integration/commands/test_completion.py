"""Completion scripts in real shells, and manual pages in man."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bakery.commands import bake_options
from bakery.commands.command_line import completion, manual, program
from bakery.runtime import data
from bakery.userdata import pools
from bakery.userdata.delivery.clouds import CLOUDS
from tests.conftest import Folders, command

BASES = {path.stem for path in data.BASES.glob("*.toml")}
# As bash's own completion calls it: the words of the line, and which of them is completed.
_BASH = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def ran(argv: list[str], folder: Path) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def scripts(folders: Folders) -> Path:
    """A folder with what `worker-bakery completion` prints for each shell."""
    folder = folders("scripts")
    for shell in completion.SHELLS:
        done = command("worker-bakery", "completion", shell)
        assert (done.status, done.err) == (0, "")
        (folder / shell).write_text(done.out)
    return folder


@pytest.fixture(scope="module")
def files(folders: Folders) -> Path:
    """A folder with one file and one folder."""
    folder = folders("files")
    (folder / "worker.qcow2").touch()
    (folder / "worker.toml").touch()
    (folder / "images").mkdir()
    return folder


def in_bash(scripts: Path, folder: Path, *words: str) -> set[str]:
    text = _BASH.format(script=scripts / "bash", words=shlex.join(words), program=words[0])
    # compopt works within completion only; the script has a way out that is silent.
    return set(ran(["bash", "--norc", "-c", text], folder).split())


def in_fish(scripts: Path, folder: Path, *words: str) -> set[str]:
    text = f"source {scripts / 'fish'}; complete -C {shlex.quote(' '.join(words))}"
    rows = ran(["fish", "--no-config", "-c", text], folder).splitlines()
    return {row.partition("\t")[0] for row in rows}


CASES: list[tuple[str, set[str]]] = [
    ("worker-bakery bake --base ", BASES),
    ("bake-image --base ", BASES),
    ("worker-bakery bases ", BASES),
    ("worker-bakery bake --base rocky", {name for name in BASES if name.startswith("rocky")}),
    ("worker-bakery bake --with ", set(bake_options.ROLES)),
    ("bake-image --worker prominence --with ", set(bake_options.ROLES)),
    ("worker-bakery bake --worker ", {"osg", "prominence"}),
    ("worker-bakery bake --format ", {"qcow2", "raw", "vmdk", "vhd", "gce", "oci"}),
    ("worker-bakery bake --verify ", {"none", "offline", "boot", "pool", "clone"}),
    ("worker-bakery userdata --cloud ", set(CLOUDS)),
    ("gen-userdata --cloud ", set(CLOUDS)),
    ("gen-userdata --format ", {"script", "cloud-config", "mime", "conf"}),
    ("worker-bakery userdata --pool ", set(pools.names(pools.built_in()))),
    ("worker-bakery userdata --allow expired", {"expired-token"}),
    ("worker-bakery userdata --on-idle ", {"poweroff", "stop", "none", "delete"}),
    ("worker-bakery bake --arch ", {"x86_64", "aarch64"}),
    ("worker-bakery completion ", {"bash", "zsh", "fish"}),
    ("worker-bakery verify --level ", {"offline", "boot", "pool", "clone"}),
    ("worker-bakery cache ", {"list", "prune"}),
    ("worker-bakery cache prune --old", {"--older-than"}),
    ("worker-bakery ver", {"verify"}),
]
SHELLS = pytest.mark.parametrize("complete", [in_bash, in_fish])
Complete = Callable[..., set[str]]


@SHELLS
@pytest.mark.parametrize(("typed", "offered"), CASES, ids=[typed for typed, _ in CASES])
def test_names_are_completed(
    complete: Complete, typed: str, offered: set[str], scripts: Path, tmp_path: Path
) -> None:
    assert complete(scripts, tmp_path, *typed.split(" ")) == offered


@SHELLS
def test_commands_are_completed(complete: Complete, scripts: Path, tmp_path: Path) -> None:
    assert complete(scripts, tmp_path, "worker-bakery", "") == set(program.COMMANDS)


@SHELLS
@pytest.mark.parametrize(
    "typed", ["verify ", "shell w", "diff worker.qcow2 w", "bake --output ", "userdata --token-file "]
)
def test_files_are_completed(complete: Complete, typed: str, scripts: Path, files: Path) -> None:
    assert "worker.qcow2" in complete(scripts, files, "worker-bakery", *typed.split(" "))


@SHELLS
@pytest.mark.parametrize("typed", ["worker-bakery bake ", "bake-image ", "bake-image --verify none w"])
def test_definition_files_are_completed(complete: Complete, typed: str, scripts: Path, files: Path) -> None:
    offered = {name.rstrip("/") for name in complete(scripts, files, *typed.split(" "))}
    assert "worker.toml" in offered
    assert "worker.qcow2" not in offered


@SHELLS
def test_folders_are_completed_where_only_a_folder_will_do(
    complete: Complete, scripts: Path, files: Path
) -> None:
    offered = complete(scripts, files, "worker-bakery", "bake", "--packer-files", "")
    assert {name.rstrip("/") for name in offered} == {"images"}


def test_zsh_reads_its_scripts(tmp_path: Path) -> None:
    for name, text in completion.scripts("zsh"):
        path = tmp_path / f"_{name}"
        path.write_text(text)
        ran(["zsh", "-f", "-n", str(path)], tmp_path)
        assert text.startswith(f"#compdef {name}\n")
    found = dict(completion.scripts("zsh"))
    assert f"({' '.join(sorted(BASES))})" in found["worker-bakery"]
    assert f"({' '.join(bake_options.ROLES)})" in found["bake-image"]
    assert f"({' '.join(CLOUDS)})" in found["gen-userdata"]


def test_zsh_registers_the_programs(scripts: Path, tmp_path: Path) -> None:
    """With its completion system, as a user's .zshrc evaluates it."""
    text = f'autoload -U compinit; compinit -D; eval "$(cat {scripts / "zsh"})"; print -l ${{(k)_comps}}'
    registered = set(ran(["zsh", "-f", "-c", text], tmp_path).split())
    assert {program.NAME, *program.STANDALONE} <= registered


@pytest.mark.parametrize("name", [name for name, _ in manual.pages()])
def test_man_renders_a_page_without_warnings(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.1"
    path.write_text(dict(manual.pages())[name], "utf-8")
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFOPT": "-ww"}
    argv = ["man", "--warnings=w", "-E", "UTF-8", "-P", "cat", "-l", str(path)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout
    assert re.search(rf"\nNAME\n       {name} +- +\S", shown)  # man(1) may justify the line
    for section in ("SYNOPSIS", "DESCRIPTION", "EXAMPLES", "SEE ALSO"):
        assert f"\n{section}\n" in shown
    assert [row for row in shown.splitlines() if len(row) > 80 and "--" not in row] == []


def test_no_text_is_taken_for_a_macro_and_no_terminal_changes_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    macros = {".TH", ".SH", ".SS", ".TP", ".B", ".RS", ".RE", ".nf", ".fi"}
    monkeypatch.setenv("COLUMNS", "40")
    narrow = dict(manual.pages())
    monkeypatch.setenv("COLUMNS", "200")
    assert dict(manual.pages()) == narrow
    for row in "".join(narrow.values()).splitlines():
        assert not row.startswith((".", "'")) or row.split()[0] in macros, row


def test_the_page_of_bake_has_every_option(tmp_path: Path) -> None:
    pages = dict(manual.pages())
    plain = pages["worker-bakery-bake"].replace("\\", "")
    flags = [flag for action in bake_options.parser()._actions for flag in action.option_strings]
    assert [flag for flag in flags if flag not in plain] == ["-h", "--help"]
    assert all(
        f"worker-bakery-{name}" in pages["worker-bakery"].replace("\\", "") for name in program.COMMANDS
    )
