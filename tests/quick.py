"""Which tests concern the change at hand, in three minutes:  scripts/test quick

All unit tests, and of the others those that the table names for what was changed, as many as there is
time for. What was changed: since the branch left its upstream; without one, what is not committed; if
all is, the last commit. What is left out is said.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
UNIT = "tests/unit"
LIMIT = 180  # seconds until all tests have ended
OVERHEAD = 25  # of these: for the unit tests, and for what each tier starts once
LANES = 2  # of scripts/test

# Tests of files that take longer than all of it may.
_LAYER = (
    "tests/integration/test_container.py::"
    "test_a_layer_is_the_same_whenever_it_is_written_and_keeps_owners_and_capabilities"
)
_STARTED = "tests/integration/test_container.py::test_buildah_starts_it_and_it_says_all_that_is_missing"
_MATCH = "tests/boot/test_ospool_guides.py::test_the_two_ads_match_as_they_should"
_BECOMES = "tests/integration/test_provision_ssh.py::test_it_becomes_a_worker"
# How long each file takes by itself, and some tests of a long one: seconds, on a machine with two cores
# where others work, too, with images in the cache. The longest begin first (tests/conftest.py).
SECONDS: Mapping[str, int] = {
    "tests/integration/test_bake.py": 40,
    "tests/integration/test_baked_roles.py": 65,
    "tests/integration/test_cache_in_use.py": 90,
    "tests/integration/test_completion.py": 15,
    "tests/integration/test_container.py": 200,
    _LAYER: 5,
    _STARTED: 50,
    "tests/integration/test_disk.py": 20,
    "tests/integration/test_el_repositories.py": 65,
    "tests/integration/test_documents_examples.py": 15,
    "tests/integration/test_documents_site.py": 40,
    "tests/integration/test_execute_disk.py": 25,
    "tests/integration/test_faults.py": 160,
    "tests/integration/test_fetch.py": 25,
    "tests/integration/test_fetch_key.py": 3,
    "tests/integration/test_image_diff.py": 65,
    "tests/integration/test_kill.py": 190,
    "tests/integration/test_metadata_guard.py": 50,
    "tests/integration/test_ospool_jobs.py": 350,
    "tests/integration/test_packer_engine.py": 80,
    "tests/integration/test_pins.py": 3,
    "tests/integration/test_pools_of_htcondor.py": 15,
    "tests/integration/test_prominence_values.py": 3,
    "tests/integration/test_provision_ssh.py": 190,
    _BECOMES: 65,
    "tests/integration/test_qemu_monitor.py": 3,
    "tests/integration/test_quick_commands.py": 3,
    "tests/integration/test_run.py": 3,
    "tests/integration/test_seal_script.py": 1,
    "tests/integration/test_start_matching.py": 25,
    "tests/integration/test_status_live.py": 20,
    "tests/integration/test_userdata_check.py": 25,
    "tests/integration/test_userdata_effect.py": 60,
    "tests/integration/test_userdata_shell.py": 40,
    "tests/integration/test_userdata_property.py": 60,
    "tests/integration/test_userdata_real.py": 12,
    "tests/integration/test_wheel.py": 6,
    "tests/integration/test_worker_health.py": 95,
    "tests/integration/test_worker_jobs.py": 60,
    "tests/boot/test_broken_images.py": 220,
    "tests/boot/test_el_standin.py": 300,
    "tests/boot/test_guest_life.py": 300,
    "tests/boot/test_life_configuration.py": 100,
    "tests/boot/test_life_ends.py": 300,
    "tests/boot/test_life_jobs.py": 120,
    "tests/boot/test_network.py": 10,
    "tests/boot/test_pool_shape.py": 110,
    "tests/boot/test_ospool_attributes.py": 150,
    "tests/boot/test_ospool_guides.py": 235,
    _MATCH: 130,
    "tests/boot/test_ospool_shape_proof.py": 75,
    "tests/boot/test_prominence_life.py": 200,
    "tests/boot/vm/test_disk_shapes.py": 300,
    "tests/boot/vm/test_job_memory.py": 300,
    "tests/boot/vm/test_life_vm.py": 400,
    "tests/boot/vm/test_machine_faults.py": 300,
    "tests/boot/vm/test_packer.py": 600,
    "tests/boot/vm/test_proof.py": 700,
}

# Of a folder or a file of the sources, the tests beside the unit tests that tell most about it, the most
# telling first. What has a line of its own is not asked of its folder's.
CONCERN: Mapping[str, tuple[str, ...]] = {
    "bakery/": ("tests/integration/test_quick_commands.py", "tests/integration/test_bake.py"),
    "bakery/bake/": ("tests/integration/test_quick_commands.py", "tests/integration/test_bake.py"),
    "bakery/image/": (
        "tests/integration/test_quick_commands.py",
        "tests/integration/test_wheel.py",
        "tests/integration/test_bake.py",
    ),
    "bakery/sources/": ("tests/integration/test_fetch.py", "tests/integration/test_bake.py"),
    "bakery/store/": ("tests/integration/test_quick_commands.py", "tests/integration/test_cache_in_use.py"),
    "bakery/output/": ("tests/integration/test_bake.py", _LAYER),
    "bakery/runtime/": ("tests/integration/test_run.py", "tests/integration/test_bake.py"),
    "bakery/engines/chroot/": ("tests/integration/test_bake.py",),
    "bakery/engines/packer/": (
        "tests/integration/test_packer_engine.py",
        "tests/integration/test_qemu_monitor.py",
    ),
    "bakery/userdata/delivery/": (
        "tests/integration/test_userdata_real.py",
        "tests/integration/test_userdata_check.py",
    ),
    "bakery/verify/pool/": ("tests/integration/test_bake.py", "tests/boot/test_pool_shape.py"),
    "provisioner/disk/": ("tests/integration/test_disk.py", "tests/integration/test_bake.py"),
    "provisioner/packages/": (
        "tests/integration/test_el_repositories.py",
        "tests/integration/test_baked_roles.py",
    ),
    "provisioner/process/": ("tests/integration/test_run.py", "tests/integration/test_kill.py"),
    "provisioner/remote/": (_BECOMES, "tests/integration/test_provision_ssh.py"),
    "provisioner/roles/workers/": (
        "tests/integration/test_bake.py",
        "tests/integration/test_baked_roles.py",
    ),
    "bakery/image/bases.py": (
        "tests/integration/test_pins.py",
        "tests/integration/test_quick_commands.py",
        "tests/integration/test_bake.py",
    ),
    "bakery/sources/base_image.py": (
        "tests/integration/test_fetch.py",
        "tests/integration/test_bake.py",
        "tests/integration/test_cache_in_use.py",
    ),
    "bakery/store/retention.py": ("tests/integration/test_cache_in_use.py",),
    "bakery/store/explain.py": ("tests/integration/test_quick_commands.py",),
    "bakery/bake/failed.py": ("tests/integration/test_faults.py", "tests/integration/test_bake.py"),
    "bakery/sources/download.py": (
        "tests/integration/test_fetch.py",
        "tests/integration/test_fetch_key.py",
    ),
    "bakery/store/locks.py": ("tests/integration/test_bake.py", "tests/integration/test_cache_in_use.py"),
    "bakery/store/logs.py": ("tests/integration/test_bake.py", "tests/integration/test_faults.py"),
    "bakery/image/mkosi.py": ("tests/integration/test_bake.py",),
    "bakery/userdata/delivery/nocloud.py": ("tests/integration/test_userdata_real.py",),
    "bakery/sources/pins.py": ("tests/integration/test_pins.py",),
    "bakery/runtime/qemu_img.py": (
        "tests/integration/test_qemu_monitor.py",
        "tests/integration/test_disk.py",
        "tests/integration/test_bake.py",
    ),
    "bakery/image/recipe.py": (
        "tests/integration/test_wheel.py",
        "tests/integration/test_bake.py",
        "tests/integration/test_baked_roles.py",
    ),
    "bakery/image/repositories.py": (
        "tests/integration/test_el_repositories.py",
        "tests/integration/test_baked_roles.py",
    ),
    "bakery/runtime/sandbox.py": (
        "tests/integration/test_run.py",
        "tests/integration/test_bake.py",
        "tests/integration/test_kill.py",
    ),
    "bakery/store/store.py": (
        "tests/integration/test_quick_commands.py",
        "tests/integration/test_bake.py",
        "tests/integration/test_cache_in_use.py",
    ),
    "bakery/image/udocker.py": ("tests/integration/test_wheel.py", "tests/integration/test_container.py"),
    "bakery/userdata/rendering.py": (
        "tests/integration/test_userdata_real.py",
        "tests/integration/test_prominence_values.py",
        "tests/integration/test_userdata_property.py",
    ),
    "bakery/commands/": ("tests/integration/test_quick_commands.py", "tests/integration/test_bake.py"),
    "bakery/commands/command_line/": (
        "tests/integration/test_quick_commands.py",
        "tests/integration/test_completion.py",
        "tests/integration/test_wheel.py",
    ),
    "bakery/commands/userdata.py": (
        "tests/integration/test_userdata_real.py",
        "tests/integration/test_userdata_check.py",
    ),
    "bakery/commands/remote.py": (
        _BECOMES,
        "tests/integration/test_provision_ssh.py",
    ),
    "bakery/commands/diff.py": ("tests/integration/test_image_diff.py",),
    "bakery/engines/": (
        "tests/integration/test_qemu_monitor.py",
        "tests/integration/test_bake.py",
        "tests/integration/test_packer_engine.py",
    ),
    "bakery/imagediff/": ("tests/integration/test_image_diff.py",),
    "bakery/userdata/": (
        "tests/integration/test_userdata_real.py",
        "tests/integration/test_prominence_values.py",
        "tests/integration/test_userdata_property.py",
    ),
    "bakery/userdata/matchmaking/": (
        "tests/integration/test_start_matching.py",
        "tests/integration/test_userdata_real.py",
        "tests/integration/test_userdata_property.py",
    ),
    "bakery/userdata/lint/": ("tests/integration/test_userdata_check.py",),
    "bakery/userdata/lint/shell/": (
        "tests/integration/test_userdata_shell.py",
        "tests/integration/test_userdata_check.py",
    ),
    "bakery/machines/": (
        "tests/boot/test_network.py",
        "tests/integration/test_worker_jobs.py",
        "tests/integration/test_metadata_guard.py",
    ),
    "bakery/output/oci/": (_LAYER, _STARTED, "tests/integration/test_container.py"),
    "bakery/verify/pool/access_point.py": (_MATCH, "tests/boot/test_ospool_guides.py"),
    "bakery/verify/pool/failover.py": ("tests/boot/test_ospool_shape_proof.py",),
    "bakery/verify/": ("tests/integration/test_bake.py", "tests/integration/test_faults.py"),
    "cloud-init/": (
        "tests/integration/test_userdata_real.py",
        "tests/integration/test_wheel.py",
        "tests/integration/test_userdata_property.py",
    ),
    "packer/": ("tests/integration/test_wheel.py", "tests/integration/test_packer_engine.py"),
    "packer/bases/": ("tests/integration/test_pins.py", "tests/integration/test_wheel.py"),
    "packer/repositories.toml": (
        "tests/integration/test_wheel.py",
        "tests/integration/test_el_repositories.py",
    ),
    "provisioner/": (
        "tests/integration/test_run.py",
        "tests/integration/test_bake.py",
        "tests/integration/test_kill.py",
    ),
    "bakery/engines/packer/guest.py": ("tests/integration/test_packer_engine.py",),
    "bakery/engines/packer/disk_layers.py": ("tests/integration/test_qemu_monitor.py",),
    "bakery/engines/packer/temporary_repositories.py": ("tests/integration/test_packer_engine.py",),
    "provisioner/did_you_mean.py": ("tests/integration/test_quick_commands.py",),
    "bakery/engines/packer/qmp.py": ("tests/integration/test_qemu_monitor.py",),
    "provisioner/packages/repository_files.py": ("tests/integration/test_el_repositories.py",),
    "provisioner/process/run.py": (
        "tests/integration/test_run.py",
        "tests/integration/test_bake.py",
        "tests/integration/test_kill.py",
    ),
    "provisioner/steps.py": ("tests/integration/test_fetch_key.py", "tests/integration/test_bake.py"),
    "provisioner/roles/": (
        "tests/integration/test_seal_script.py",
        "tests/integration/test_bake.py",
        "tests/integration/test_baked_roles.py",
    ),
    "provisioner/roles/seal.py": (
        "tests/integration/test_seal_script.py",
        "tests/integration/test_bake.py",
    ),
    "provisioner/roles/workers/ospool_data.py": (
        "tests/integration/test_ospool_jobs.py",
        "tests/integration/test_seal_script.py",
    ),
    "bakery/image/pelican.py": (
        "tests/integration/test_quick_commands.py",
        "tests/integration/test_ospool_jobs.py",
    ),
    "provisioner/roles/udocker.py": (
        "tests/integration/test_wheel.py",
        _STARTED,
        "tests/integration/test_container.py",
    ),
    "provisioner/targets/": ("tests/integration/test_bake.py", "tests/integration/test_el_repositories.py"),
    "provisioner/targets/ssh.py": (
        _BECOMES,
        "tests/integration/test_provision_ssh.py",
    ),
    "provisioner/targets/host_keys.py": (
        _BECOMES,
        "tests/integration/test_provision_ssh.py",
    ),
    "mkdocs.yml": ("tests/integration/test_documents_site.py",),
    "scripts/docs": ("tests/integration/test_documents_site.py",),
    "tools/": ("tests/integration/test_documents_site.py", "tests/integration/test_documents_examples.py"),
    "scripts/": ("tests/integration/test_wheel.py", "tests/integration/test_quick_commands.py"),
    "tests/": ("tests/integration/test_quick_commands.py",),
    "tests/image/": ("tests/integration/test_bake.py",),
    "tests/ospool/": (_MATCH, "tests/boot/test_ospool_guides.py"),
    "tests/boot/": ("tests/boot/test_network.py",),
    "worker/": ("tests/integration/test_wheel.py", "tests/integration/test_worker_jobs.py"),
    "worker/common/": (
        "tests/integration/test_prominence_values.py",
        "tests/integration/test_worker_jobs.py",
        "tests/integration/test_worker_health.py",
        "tests/boot/test_life_configuration.py",
    ),
    "worker/common/etc/": ("tests/integration/test_worker_jobs.py", "tests/boot/test_life_jobs.py"),
    "worker/common/usr/lib/worker-bakery/worker_runtime/jobs/metadata_guard.py": (
        "tests/integration/test_metadata_guard.py",
    ),
    "worker/common/usr/lib/worker-bakery/pools.json": (
        "tests/integration/test_pools_of_htcondor.py",
        "tests/boot/test_pool_shape.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/configuration/servers.py": (
        "tests/integration/test_pools_of_htcondor.py",
        "tests/boot/test_pool_shape.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/lifecycle/join.py": (
        "tests/boot/test_pool_shape.py",
        "tests/boot/test_life_ends.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/jobs/storage.py": (
        "tests/integration/test_execute_disk.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/jobs/health.py": (
        "tests/integration/test_worker_health.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/container/": (
        _STARTED,
        "tests/integration/test_container.py",
    ),
    "worker/ospool/usr/libexec/": (
        "tests/integration/test_ospool_jobs.py",
        "tests/integration/test_wheel.py",
    ),
    "worker/ospool/etc/condor/config.d/55-worker-ospool-jobs.config": (
        "tests/integration/test_ospool_jobs.py",
        "tests/integration/test_wheel.py",
    ),
    "worker/ospool/": ("tests/boot/test_ospool_attributes.py", "tests/integration/test_wheel.py"),
    "worker/osg/": ("tests/integration/test_worker_jobs.py", "tests/boot/test_life_configuration.py"),
    "worker/prominence/": (
        "tests/integration/test_prominence_values.py",
        "tests/integration/test_worker_jobs.py",
        "tests/boot/test_prominence_life.py",
    ),
}


@dataclass(frozen=True)
class Selection:
    """Test files, and those that also concern the change, but for which there is no time."""

    chosen: tuple[str, ...]
    left_out: tuple[str, ...]
    seconds: int


def select(changed: Iterable[str], limit: int = LIMIT) -> Selection:
    """`changed` are paths of files in the repository. The unit tests are not named: they always run."""
    ranks: dict[str, int] = {}
    for path in changed:
        for rank, test in enumerate(concerned(path)):
            ranks[test] = min(rank, ranks.get(test, rank))
    chosen: list[str] = []
    wanted = sorted(ranks, key=lambda test: (ranks[test], SECONDS[test], test))
    for test in wanted:
        if together([*chosen, test]) <= limit:
            chosen.append(test)
    left_out = tuple(test for test in wanted if test not in chosen)
    return Selection(tuple(chosen), left_out, together(chosen))


def together(tests: Iterable[str]) -> int:
    """Seconds of these files and the unit tests: the longest is one lane's, whatever the others do."""
    each = [SECONDS[test] for test in tests]
    return OVERHEAD + max(*each, -(-sum(each) // LANES), 0, 0)


def concerned(path: str) -> tuple[str, ...]:
    """A file of tests concerns itself; of any other, what the table says of it or of its nearest folder."""
    if path in SECONDS or path.startswith(f"{UNIT}/"):
        return (path,) if path in SECONDS else ()
    places = (path, *(f"{folder}/" for folder in map(str, Path(path).parents) if folder != "."))
    return next((CONCERN[place] for place in places if place in CONCERN), ())


def seconds_of(nodeid: str) -> int:
    """Of the file of a test; unit tests take no time to speak of."""
    path = nodeid.split("::")[0]
    return 0 if path.startswith(f"{UNIT}/") else SECONDS.get(path, LIMIT)


# --- what was changed --------------------------------------------------------------------------


def changed(root: Path = ROOT) -> tuple[str, list[str]]:
    """Since when, in words, and the paths; those that were removed among them. Raises SystemExit."""
    there = _git(root, "ls-files", "--others", "--exclude-standard").splitlines()
    title, since = _since(root, bool(there))
    return title, [*_git(root, "diff", "--name-only", since).splitlines(), *there]


def _since(root: Path, untracked: bool) -> tuple[str, str]:
    upstream = _git(root, "rev-parse", "--abbrev-ref", "@{upstream}", optional=True)
    if upstream:
        return f"since {upstream}", _git(root, "merge-base", "HEAD", upstream)
    if untracked or _git(root, "diff", "--name-only", "HEAD"):
        return "since the last commit", "HEAD"
    return "by the last commit", _git(
        root, "rev-parse", "--verify", "-q", "HEAD~1", optional=True
    ) or "HEAD"


def _git(root: Path, *argv: str, optional: bool = False) -> str:
    done = subprocess.run(["git", "-C", root, *argv], capture_output=True, text=True, check=False)
    if done.returncode and not optional:
        raise SystemExit(f"quick: git {argv[0]} says: {done.stderr.strip()}")
    return done.stdout.strip() if not done.returncode else ""


def main() -> None:
    """The paths for pytest, a line each; why these, on stderr."""
    title, names = changed()
    found = select(names)
    print(f"quick: {len(names)} files changed {title}; about {found.seconds} s", file=sys.stderr)
    for test in found.left_out:
        print(f"quick: {test} also concerns them, but takes {SECONDS[test]} s", file=sys.stderr)
    print("\n".join((*found.chosen, UNIT)))


if __name__ == "__main__":
    main()
