"""The tables of accepted tokens and files, asked of a collector of HTCondor 25.14 (Debian's unstable)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import isolated
from bakery.verify.pool import throwaway_pool
from bakery.verify.pool.throwaway_pool import IDENTITY, TRUST_DOMAIN, Pool
from tests import acceptance, newer_htcondor
from tests.acceptance import FILES, ROWS, Client, FileRow, Row
from tests.conftest import Folders, command, mounted

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def pool_and_client(baked: dict[str, Any], folders: Folders) -> Iterator[tuple[Pool, Client]]:
    made, image, network, work = (folders(name) for name in ("new", "image", "network", "pool"))
    with (
        newer_htcondor.upgraded(Path(baked["path"]), made) as newer,
        mounted(newer, image) as root,
        isolated(network) as net,
        throwaway_pool.start_in_sandbox(root, work, net) as up,
    ):
        client = Client(up.root, net)
        acceptance.add_named_key(up, client)
        yield up, client


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_newer_htcondor(row: Row, pool_and_client: tuple[Pool, Client], tmp_path: Path) -> None:
    pool, client = pool_and_client
    acceptance.compare(row, pool, client, (25, 14), tmp_path.name)


@pytest.mark.parametrize("row", FILES, ids=lambda row: row.name)
def test_the_newer_htcondor_and_files(
    row: FileRow, pool_and_client: tuple[Pool, Client], tmp_path: Path
) -> None:
    acceptance.compare_file(row, *pool_and_client, tmp_path.name)


def test_a_created_token_joins_the_newer_htcondor(
    pool_and_client: tuple[Pool, Client], tmp_path: Path
) -> None:
    pool, client = pool_and_client
    key, output = acceptance.secret_file(tmp_path / "POOL", pool.signing_key), tmp_path / "token"
    words = ("create", "--identity", IDENTITY, "--issuer", TRUST_DOMAIN, "--key", str(key))
    made = command("worker-bakery", "token", *words, "-o", str(output))
    assert made.status == 0, made.err
    assert acceptance.join(pool, client, output.read_text(), "created") == [f'"{IDENTITY}"']
