from __future__ import annotations

import pytest

from bakery.image import bases, repositories
from bakery.image.bases import Base
from tests import golden_plans


@pytest.mark.parametrize("name", golden_plans.SYSTEMS)
def test_the_plan_equals_the_reviewed_one(name: str) -> None:
    """After an intended change, run `python -m tests.golden_plans` and review the difference."""
    for file, text in golden_plans.golden(name).items():
        assert text == (golden_plans.FOLDER / file).read_text(), file


def test_every_golden_plan_is_compared() -> None:
    kept = {path.name for path in golden_plans.FOLDER.glob("*")}
    machines = {f"{name}.txt" for name in golden_plans.SYSTEMS}
    containers = {f"{name}.oci.txt" for name in golden_plans.CONTAINERS}
    sites = {f"{name}.site.txt" for name in golden_plans.SITES}
    site_containers = {f"{name}.site.oci.txt" for name in golden_plans.SITE_CONTAINERS}
    assert kept == machines | containers | sites | site_containers


@pytest.mark.parametrize("base", bases.known(), ids=lambda base: base.name)
def test_every_base_has_a_repository_with_htcondor(base: Base) -> None:
    """Found by code name, except on EL. Debian 13 contains HTCondor itself."""
    found = {repository.role for repository in repositories.of_base(base.family, base.release)}
    assert ("condor" in found) != (base.release == "trixie")
