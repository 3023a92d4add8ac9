"""The tests of a site: which files are accepted, and which stored images must be verified again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakery.bake import planned
from bakery.bake.options import Options
from bakery.store.store import Store
from bakery.verify import site_tests
from provisioner.errors import BadInput
from provisioner.events import Silent


def test_a_proof_counts_only_with_the_same_tests_of_the_site(tmp_path: Path) -> None:
    test = tmp_path / "test_site.py"
    test.write_text("def test_nothing(host): pass\n")
    bake = planned.plan_bake(Options(tests=(test,)), Store(tmp_path), Silent())
    with_tests = {"tests": site_tests.digests([test])}
    manifest: dict[str, Any] = {"proof": {"offline": with_tests, "boot": {}}}
    assert planned.missing_levels(bake, manifest) == ["boot"]
    assert planned.missing_levels(replace(bake, options=Options()), manifest) == []
    test.write_text("def test_something(host): assert host\n")
    assert planned.missing_levels(bake, manifest) == ["offline", "boot"]


def test_a_file_that_pytest_does_not_collect_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "site.py"
    file.write_text("def test_nothing(host): pass\n")
    with pytest.raises(BadInput, match=r"has a name that pytest collects: site\.py\. Rename"):
        site_tests.check([file])
    (tmp_path / "test_site.py").touch()
    site_tests.check([file, tmp_path / "test_site.py"])


def test_a_missing_file_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"Cannot read the test file .*test_gone\.py: No such file"):
        site_tests.check([tmp_path / "test_gone.py"])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test_site.py").touch()
    with pytest.raises(BadInput, match=r"Two test files have the name test_site\.py\."):
        site_tests.check([tmp_path / "one/test_site.py", tmp_path / "two/test_site.py"])
