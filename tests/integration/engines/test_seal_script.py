"""The shell script of the seal, with a folder instead of the root."""

from __future__ import annotations

from pathlib import Path

from provisioner.packages.repositories import APT
from provisioner.process import run
from provisioner.roles.seal import removal_script


def test_only_the_package_sources_of_the_plan_are_kept(tmp_path: Path) -> None:
    sources = tmp_path / "etc/apt/sources.list.d"
    sources.mkdir(parents=True)
    for name in (f"{Path(APT).name}htcondor.sources", "debian.sources", "a site's own.list"):
        (sources / name).touch()
    [row] = [row for row in removal_script().splitlines() if APT in row]
    run.call(["sh", "-ec", row.replace("/etc/apt", f"{tmp_path}/etc/apt")])
    assert [path.name for path in sources.iterdir()] == ["worker-htcondor.sources"]
