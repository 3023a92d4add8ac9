"""The accounts and the memory that depend on the size of a machine."""

from __future__ import annotations

import pytest
from worker_runtime.jobs.resources import render, reserved_memory, slot_count, useradd_command


def test_the_whole_file() -> None:
    assert render(2, 8000).splitlines()[1:] == [
        "RESERVED_MEMORY = 320",
        "SLOT1_1_USER = slot1",
        "SLOT1_2_USER = slot2",
    ]


def test_slots_are_as_many_as_a_site_says_but_not_fewer_than_cpus() -> None:
    assert [slot_count(4, said) for said in ("128\n", "2\n", "", "Not defined\n")] == [128, 4, 4, 4]


@pytest.mark.parametrize(
    ("cpus", "memory", "kept"), [(1, 960, 240), (1, 2000, 288), (8, 16000, 512), (128, 500000, 4352)]
)
def test_memory_that_no_job_gets(cpus: int, memory: int, kept: int) -> None:
    assert reserved_memory(cpus, memory) == kept


def test_accounts_are_the_system_s_without_home_or_shell() -> None:
    argv = useradd_command("slot7")
    assert argv[0] == "useradd" and argv[-1] == "slot7"
    assert {"--system", "--no-create-home", "--shell=/usr/sbin/nologin"} <= set(argv)
