"""`fleet launch --root-volume` on a control plane without Cinder.

What is shown: nothing is made where there are no volumes or no room for them; the request that Nova gets.
A stand-in for Cinder answers the limits. Nova, which has none, takes the request, fails to make the volume,
and says so. That a volume is made, and deleted with its server, is not shown here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.control_plane.plane import Plane
from tests.integration.fleet.test_fleet import argv_of, server_groups, servers

pytestmark = pytest.mark.full  # as test_fleet.py


def limits(folder: Path, **values: int) -> str:
    file = folder / "limits.json"
    file.write_text(json.dumps({"limits": {"rate": [], "absolute": values}}))
    return f"cinder:{file}"


def ours(plane: Plane) -> list[str]:
    return [name for name in servers(plane) if name.startswith("volumes-")]


def test_a_root_volume_is_checked_before_anything_is_made(
    plane: Plane, token: Path, tmp_path: Path
) -> None:
    argv = argv_of(token, "--count", "3", "--root-volume", "20", group="volumes")
    none = plane.bakery(*argv)
    assert none.status == 2 and "has no volumes" in none.err and "Omit --root-volume" in none.err
    argv = argv_of(token, "--count", "3", "--root-volume", "20", group="volumes", cloud="volumes")
    full = {"maxTotalVolumes": 10, "totalVolumesUsed": 1, "maxTotalVolumeGigabytes": 100}
    with plane.faulty_nova(limits(tmp_path, **full, totalGigabytesUsed=50)):
        refused = plane.bakery(*argv)
        assert refused.status == 12 and "60 GiB of volumes are requested, 50 are left" in refused.err
        assert "--count 2" in refused.err
        small = plane.bakery(*argv, "--root-volume", "3")
        assert small.status == 2 and "requires 4 GiB" in small.err
        # The disk of the flavor, of 1 GiB, does not count.
        fits = plane.bakery(*argv, "--root-volume", "4", "--flavor", "tiny", "--dry-run")
        assert "1024 MiB" in fits.err or fits.status == 0, fits.err
    assert ours(plane) == [] and server_groups(plane) == []


def test_what_nova_is_asked_for(plane: Plane, token: Path, tmp_path: Path) -> None:
    """Nova says itself that it has no Cinder; the servers are deleted again."""
    record = tmp_path / "requests"
    argv = argv_of(token, "--count", "2", "--root-volume", "20", group="volumes", cloud="volumes")
    with plane.faulty_nova(limits(tmp_path, maxTotalVolumes=-1), f"record:{record}"):
        failed = plane.bakery(*argv)
    assert failed.status == 1 and "2 of 2 servers went to ERROR" in failed.err
    requests = [json.loads(line)["server"] for line in record.read_text().splitlines()]
    assert len(requests) == 2
    for asked in requests:
        [volume] = asked["block_device_mapping_v2"]
        assert "imageRef" not in asked and asked["metadata"]["worker_bakery_image"] == volume.pop("uuid")
        assert volume == {
            "boot_index": 0, "source_type": "image", "destination_type": "volume", "volume_size": 20,
            "delete_on_termination": True,
        }  # fmt: skip
    assert ours(plane) == [] and server_groups(plane) == []
