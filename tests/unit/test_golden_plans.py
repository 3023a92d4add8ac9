from __future__ import annotations

import pytest

from bakery import bases, repositories
from bakery.bases import Base
from tests import golden_plans


@pytest.mark.parametrize("name", golden_plans.SYSTEMS)
def test_the_plan_is_the_one_that_was_looked_at(name: str) -> None:
    """If the change is meant: `python -m tests.golden_plans`, and look at the difference."""
    assert golden_plans.text(name) == (golden_plans.FOLDER / f"{name}.txt").read_text()


def test_no_plan_is_kept_that_nobody_compares() -> None:
    assert {path.stem for path in golden_plans.FOLDER.glob("*")} == set(golden_plans.SYSTEMS)


@pytest.mark.parametrize("base", bases.known(), ids=lambda base: base.name)
def test_every_base_has_a_repository_with_htcondor(base: Base) -> None:
    """Outside of EL by its code name, which the table might lack. Debian 13 has HTCondor itself."""
    found = {repository.role for repository in repositories.of_base(base.family, base.release)}
    assert ("condor" in found) != (base.release == "trixie")
