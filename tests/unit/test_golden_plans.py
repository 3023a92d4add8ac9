from __future__ import annotations

import pytest

from bakery.image import bases, repositories
from bakery.image.bases import Base
from tests import golden_plans


@pytest.mark.parametrize("name", golden_plans.SYSTEMS)
def test_the_plan_is_the_one_that_was_looked_at(name: str) -> None:
    """If the change is meant: `python -m tests.golden_plans`, and look at the difference."""
    for file, text in golden_plans.golden(name).items():
        assert text == (golden_plans.FOLDER / file).read_text(), file


def test_no_plan_is_kept_that_nobody_compares() -> None:
    kept = {path.name for path in golden_plans.FOLDER.glob("*")}
    machines = {f"{name}.txt" for name in golden_plans.SYSTEMS}
    assert kept == machines | {f"{name}.oci.txt" for name in golden_plans.CONTAINERS}


@pytest.mark.parametrize("base", bases.known(), ids=lambda base: base.name)
def test_every_base_has_a_repository_with_htcondor(base: Base) -> None:
    """Outside of EL by its code name, which the table might lack. Debian 13 has HTCondor itself."""
    found = {repository.role for repository in repositories.of_base(base.family, base.release)}
    assert ("condor" in found) != (base.release == "trixie")
