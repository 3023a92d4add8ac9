"""The shell examples of the documentation: bash can parse all of them, and those marked `sh run` work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bakery.tokens import signing
from bakery.userdata import pools
from bakery.userdata.lint import wrapping
from bakery.userdata.lint.context import Context
from tests import documents
from tests.conftest import BIN
from tests.documents import PAGES, Block, name
from tests.integration.userdata.test_userdata_check import BAD, NOW
from tools.reference.markdown import texts

POOL = pools.built_in()[0]
SCOPES = ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ")
MONTH = 30 * 86400


def runnable(page: Path) -> list[Block]:
    found = documents.blocks(page.read_text())
    return [block for block in found if block.language in documents.SHELL and block.info == "run"]


def bash(script: str, *options: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "--norc", *options, "-c", script],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_bash_parses_every_shell_block(page: Path, tmp_path: Path) -> None:
    for block in documents.blocks(page.read_text()):
        if block.language in documents.SHELL:
            done = bash(documents.typed(block), "-n", folder=tmp_path, env={})
            assert done.returncode == 0, f"{name(page)}:{block.line}: {done.stderr}"


def reader(folder: Path) -> dict[str, str]:
    """The environment of a reader with an empty home and cache, and an OSPool token in the file `token`."""
    token = signing.mint(
        b"a key of nobody's pool",
        "POOL",
        issuer=POOL.trust_domain,
        subject=f"worker@{POOL.trust_domain}",
        scopes=SCOPES,
        lifetime=MONTH,
    )
    file = folder / "token"
    file.touch(0o600)
    file.write_text(f"{token}\n")
    home = folder / "home"
    home.mkdir()
    return {
        "HOME": str(home),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "WORKER_BAKERY_CACHE": str(folder / "cache"),
    }


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name)
def test_the_blocks_marked_run_work_in_their_order(page: Path, tmp_path: Path) -> None:
    env = reader(tmp_path)
    for block in runnable(page):
        done = bash(f"set -e\n{documents.typed(block)}", folder=tmp_path, env=env)
        assert done.returncode == 0, (
            f"{name(page)}:{block.line}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    env = reader(tmp_path)
    assert (
        bash("gen-userdata --token-file token --project TG-1 >x", folder=tmp_path, env=env).returncode == 0
    )
    assert bash("gen-userdata --token-file gone --project TG-1", folder=tmp_path, env=env).returncode == 2
    assert bash("if", "-n", folder=tmp_path, env=env).returncode != 0


def test_the_severities_of_known_bad_user_data_are_those_of_the_reference() -> None:
    documented = {
        one: row[0].split(", ") for group in texts("findings").values() for one, row in group.items()
    }
    for path in BAD:
        for found in wrapping.check(path.read_bytes(), Context(now=NOW, cloud="ec2")):
            assert found.severity in documented[found.id], f"{path.name}: {found.id} is {found.severity}"
