from __future__ import annotations

import pytest

from bakery import bases, recipe
from bakery.bases import Base
from tests import golden_plans


@pytest.mark.parametrize("name", golden_plans.SYSTEMS)
def test_the_plan_is_the_one_that_was_looked_at(name: str) -> None:
    """If the change is meant: `python -m tests.golden_plans`, and look at the difference."""
    assert golden_plans.text(name) == (golden_plans.FOLDER / f"{name}.txt").read_text()


def test_no_plan_is_kept_that_nobody_compares() -> None:
    assert {path.stem for path in golden_plans.FOLDER.glob("*")} == set(golden_plans.SYSTEMS)


@pytest.mark.parametrize("base", bases.known(), ids=lambda base: base.name)
def test_every_base_is_of_a_system_whose_plan_was_looked_at(base: Base) -> None:
    """Outside of EL by its code name: one that the table lacks would go without HTCondor's packages."""
    systems = {
        (kind, recipe.release(golden_plans.base(name))) for name, kind in golden_plans.SYSTEMS.items()
    }
    families = {kind for kind, _ in systems}
    assert base.family in families
    assert base.family.startswith("el") or (base.family, recipe.release(base)) in systems
    assert recipe.plan(base, "osg").steps
