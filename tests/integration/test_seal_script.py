"""The shell script of the seal, in a folder in the place of the root."""

from __future__ import annotations

from pathlib import Path

from provisioner.packages.repositories import APT
from provisioner.process import run
from provisioner.roles.seal import removal_script


def test_other_people_s_package_sources_go_and_the_plan_s_stay(tmp_path: Path) -> None:
    sources = tmp_path / "etc/apt/sources.list.d"
    sources.mkdir(parents=True)
    for name in (f"{Path(APT).name}htcondor.sources", "debian.sources", "a site's own.list"):
        (sources / name).touch()
    [row] = [row for row in removal_script().splitlines() if APT in row]
    run.call(["sh", "-ec", row.replace("/etc/apt", f"{tmp_path}/etc/apt")])
    assert [path.name for path in sources.iterdir()] == ["worker-htcondor.sources"]
