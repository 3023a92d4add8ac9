"""Which tests concern the change at hand, in three minutes:  scripts/test quick

All unit tests, and of the others those that the table names for what was changed, as many as there is
time for. What was changed: since the branch left its upstream; without one, what is not committed; if
all is, the last commit. What is left out is said.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
UNIT = "tests/unit"
LIMIT = 180  # seconds until all tests have ended
OVERHEAD = 25  # of these: for the unit tests, and for what each tier starts once
LANES = 2  # of scripts/test quick

# Tests of files that take longer than all of it may.
_LAYER = (
    "test_container.py::test_a_layer_is_the_same_whenever_it_is_written_and_keeps_owners_and_capabilities"
)
_STARTED = "test_container.py::test_buildah_starts_it_and_it_says_all_that_is_missing"
_MATCH = "test_ospool_guides.py::test_the_two_ads_match_as_they_should"
_SITE = "test_broken_images.py::test_a_test_of_a_site_can_fail_verification"
_SHARED = "test_broken_images.py::test_what_two_machines_share_is_named_with_what_to_do[machine-id]"
_BECOMES = "test_provision_ssh.py::test_the_plan_of_an_image_makes_a_worker"
_SEVERAL = "test_several_images.py::test_images_that_cannot_make_what_they_share_fail_with_their_own_errors"
_LAUNCH = "test_fleet.py::test_twenty_workers_are_launched_listed_and_reaped"
_TERRAFORM = "test_exported_files.py::test_terraform_has_the_attributes_of_the_provider"
_NO_CONTAINER = "test_site_in_container.py::test_packer_makes_no_container_and_says_so_before_it_starts"
# How long each file takes by itself, and some tests of a long one: seconds, on a machine with two cores
# where others work, too, with images in the cache. The longest begin first (tests/conftest.py).
_SECONDS: Mapping[str, int] = {
    "test_bake.py": 40,
    "test_base_proofs.py": 45,
    "test_base_twice.py": 400,
    "test_baked_roles.py": 65,
    "test_baked_site.py": 140,
    "test_baked_definition.py": 180,
    "test_baked_several.py": 280,
    "test_several_images.py": 80,
    _SEVERAL: 20,
    "test_builder_image.py": 900,
    "test_cache_in_use.py": 90,
    "test_completion.py": 15,
    "test_ends_of_commands.py": 20,
    "test_container.py": 60,
    "test_docker_run.py": 150,
    "test_docker_tokens.py": 60,
    "test_docker_options.py": 70,
    "test_docker_ends.py": 140,
    "test_docker_architectures.py": 360,
    "test_docker_manifests.py": 120,
    "test_preemption_notices.py": 3,
    "test_drain_vm.py": 240,
    _LAYER: 5,
    _STARTED: 50,
    "test_describe.py": 30,
    "test_disk.py": 20,
    "test_disk_formats.py": 30,
    "test_el_repositories.py": 55,
    "test_documents_examples.py": 15,
    "test_documents_site.py": 40,
    "test_execute_disk.py": 25,
    "test_faults.py": 160,
    "test_download.py": 25,
    "test_fetch_key.py": 3,
    "test_freshness.py": 170,
    "test_order_of_programs.py": 10,
    "test_outdated_paths.py": 30,
    "test_rpm_updates.py": 55,
    "test_snapshot.py": 5,
    "test_image_diff.py": 65,
    "test_kernel_arguments.py": 20,
    "test_kill.py": 130,
    "test_metadata_guard.py": 50,
    "test_ospool_jobs.py": 350,
    "test_packer_engine.py": 80,
    "test_pool_ready.py": 30,
    "test_pins.py": 3,
    "test_pools_of_htcondor.py": 15,
    "test_prominence_values.py": 3,
    "test_provision_ssh.py": 145,
    _BECOMES: 65,
    _SITE: 20,
    "test_qemu_monitor.py": 3,
    "test_reproducible.py": 80,
    "test_quick_commands.py": 3,
    "test_root_without_capabilities.py": 10,
    "test_run.py": 3,
    "test_seal_script.py": 15,
    "test_secret_scan.py": 30,
    "test_broken_offline.py": 20,
    "test_canaries.py": 60,
    "test_site_in_container.py": 110,
    _NO_CONTAINER: 3,
    "test_site_on_el.py": 60,
    "test_setup.py": 35,
    "test_signed_image.py": 40,
    "test_start_matching.py": 25,
    "test_submit.py": 90,
    "test_status_command.py": 25,
    "test_status_processes.py": 1,
    "test_status_large.py": 150,
    "test_status_live.py": 20,
    "test_status_watch.py": 75,
    "test_status_why.py": 90,
    "test_status_workers.py": 70,
    "test_token_acceptance.py": 55,
    "test_token_fetch.py": 60,
    "test_token_newer_htcondor.py": 75,
    "test_publish_catalogue.py": 55,
    "test_publish_registry.py": 110,
    "test_registry_indexes.py": 25,
    "test_docker_osg.py": 90,
    "test_docker_registry.py": 1,
    "test_publish_glance.py": 400,
    "test_fleet.py": 240,
    _LAUNCH: 150,
    "test_fleet_catalogue.py": 120,
    "test_fleet_faults.py": 360,
    "test_fleet_prominence.py": 60,
    "test_fleet_replace.py": 240,
    "test_fleet_volumes.py": 90,
    "test_fleet_self_deletion.py": 240,
    "test_fleet_worker.py": 600,
    "test_self_deletion_requests.py": 2,
    "test_exported_files.py": 180,
    _TERRAFORM: 110,
    "test_tardis.py": 300,
    "test_reap_files.py": 10,
    "test_publish_s3.py": 120,
    "test_publish_signature.py": 20,
    "test_userdata_check.py": 25,
    "test_userdata_effect.py": 25,
    "test_userdata_shell.py": 40,
    "test_userdata_property.py": 60,
    "test_page_in_browser.py": 80,
    "test_page_programs.py": 15,
    "test_userdata_real.py": 12,
    "test_wheel.py": 6,
    "test_worker_health.py": 90,
    "test_worker_jobs.py": 60,
    "test_broken_images.py": 200,
    _SHARED: 40,
    "test_el_standin.py": 190,
    "test_guest_life.py": 100,
    "test_life_configuration.py": 100,
    "test_life_ends.py": 180,
    "test_life_jobs.py": 100,
    "test_network.py": 10,
    "test_nightly.py": 85,
    "test_pool_shape.py": 110,
    "test_ospool_attributes.py": 150,
    "test_ospool_guides.py": 235,
    _MATCH: 130,
    "test_ospool_shape_proof.py": 75,
    "test_prominence_life.py": 120,
    "test_disk_shapes.py": 150,
    "test_job_memory.py": 300,
    "test_life_vm.py": 400,
    "test_machine_faults.py": 300,
    "test_definition_by_packer.py": 900,
    "test_packer.py": 600,
    "test_proof.py": 700,
    "test_vmdk.py": 150,
}

# Of a folder or a file of the sources, the tests beside the unit tests that tell most about it, the most
# telling first. What has a line of its own is not asked of its folder's.
_CONCERN: Mapping[str, tuple[str, ...]] = {
    "bakery/": ("test_quick_commands.py", "test_bake.py"),
    "bakery/base_proofs/": ("test_base_proofs.py",),
    "bakery/bake/": (
        "test_quick_commands.py",
        "test_bake.py",
    ),
    "bakery/batch/": (_SEVERAL, "test_bake.py", "test_several_images.py"),
    "bakery/image/": (
        "test_quick_commands.py",
        "test_wheel.py",
        "test_bake.py",
    ),
    "bakery/sources/": (
        "test_download.py",
        "test_bake.py",
    ),
    "bakery/catalogue/": ("test_publish_catalogue.py",),
    "bakery/catalogue/published.py": ("test_fleet_catalogue.py",),
    "bakery/publish/": (
        "test_registry_indexes.py",
        "test_publish_signature.py",
        "test_publish_catalogue.py",
        "test_publish_s3.py",
        "test_publish_registry.py",
    ),
    "bakery/publish/glance/": ("test_publish_glance.py", "test_publish_catalogue.py"),
    "bakery/publish/catalogue/": ("test_publish_catalogue.py", "test_publish_s3.py"),
    "bakery/publish/registry/": ("test_registry_indexes.py", "test_publish_registry.py"),
    "bakery/commands/publish/": (
        "test_publish_signature.py",
        "test_publish_catalogue.py",
        "test_quick_commands.py",
    ),
    "bakery/store/": (
        "test_quick_commands.py",
        "test_cache_in_use.py",
    ),
    "bakery/output/": ("test_bake.py", "test_disk_formats.py", _LAYER),
    "bakery/runtime/": ("test_run.py", "test_bake.py"),
    "bakery/engines/chroot/": ("test_bake.py", "test_cache_in_use.py"),
    "bakery/engines/packer/": (
        "test_packer_engine.py",
        "test_qemu_monitor.py",
    ),
    "bakery/userdata/delivery/": (
        "test_userdata_real.py",
        "test_userdata_check.py",
    ),
    "bakery/tokens/": ("test_token_acceptance.py", "test_token_fetch.py"),
    "bakery/tokens/prominence.py": ("test_token_fetch.py",),
    "bakery/tokens/https_post.py": ("test_token_fetch.py",),
    "bakery/commands/token/": ("test_token_acceptance.py", "test_token_fetch.py"),
    "bakery/commands/token/fetch.py": ("test_token_fetch.py",),
    "bakery/verify/secrets/": ("test_secret_scan.py", "test_bake.py"),
    "bakery/verify/pool/": ("test_bake.py", "test_pool_ready.py", "test_pool_shape.py"),
    "provisioner/disk/": ("test_disk.py", "test_reproducible.py", "test_bake.py"),
    "provisioner/source_date.py": ("test_reproducible.py",),
    "bakery/bake/reproducible.py": ("test_reproducible.py",),
    "bakery/rebuild/": ("test_reproducible.py",),
    "bakery/commands/rebuild/": ("test_reproducible.py", "test_quick_commands.py"),
    "provisioner/packages/": (
        "test_el_repositories.py",
        "test_baked_roles.py",
    ),
    "provisioner/process/": ("test_run.py", "test_kill.py"),
    "provisioner/remote/": (_BECOMES, "test_provision_ssh.py"),
    "provisioner/roles/workers/": (
        "test_bake.py",
        "test_baked_roles.py",
    ),
    "bakery/image/bases.py": (
        "test_pins.py",
        "test_quick_commands.py",
        "test_bake.py",
    ),
    "bakery/sources/base_image.py": (
        "test_download.py",
        "test_bake.py",
        "test_cache_in_use.py",
    ),
    "bakery/store/retention.py": ("test_cache_in_use.py",),
    "bakery/store/explain.py": ("test_quick_commands.py",),
    "bakery/bake/failed.py": (
        "test_faults.py",
        "test_bake.py",
    ),
    "bakery/sources/download.py": (
        "test_download.py",
        "test_fetch_key.py",
    ),
    "bakery/store/locks.py": (
        "test_bake.py",
        "test_cache_in_use.py",
    ),
    "bakery/store/logs.py": (
        "test_bake.py",
        "test_faults.py",
    ),
    "bakery/image/mkosi.py": ("test_bake.py", "test_base_twice.py"),
    "bakery/sources/archive_date.py": ("test_base_twice.py", "test_bake.py"),
    "bakery/sources/http.py": ("test_freshness.py", "test_snapshot.py"),
    "bakery/userdata/delivery/nocloud.py": ("test_userdata_real.py",),
    "bakery/sources/pins.py": ("test_pins.py",),
    "scripts/setup": ("test_setup.py",),
    "scripts/hosts/": ("test_setup.py",),
    "bakery/runtime/privileges.py": ("test_root_without_capabilities.py", "test_bake.py"),
    "bakery/engines/emulation.py": ("test_bake.py", "test_docker_architectures.py"),
    "bakery/engines/choice.py": ("test_root_without_capabilities.py", _NO_CONTAINER, "test_bake.py"),
    "bakery/runtime/qemu_img.py": (
        "test_qemu_monitor.py",
        "test_disk.py",
        "test_bake.py",
    ),
    "bakery/image/recipe.py": (
        "test_wheel.py",
        "test_bake.py",
        "test_baked_roles.py",
    ),
    "bakery/image/repositories.py": (
        "test_el_repositories.py",
        "test_baked_roles.py",
    ),
    "bakery/runtime/sandbox.py": (
        "test_run.py",
        "test_bake.py",
        "test_kill.py",
    ),
    "bakery/store/store.py": (
        "test_quick_commands.py",
        "test_bake.py",
        "test_cache_in_use.py",
    ),
    "bakery/image/udocker.py": (
        "test_wheel.py",
        "test_container.py",
    ),
    "bakery/userdata/rendering.py": (
        "test_userdata_real.py",
        "test_prominence_values.py",
        "test_userdata_property.py",
    ),
    "bakery/definition/": (
        "test_quick_commands.py",
        "test_baked_definition.py",
    ),
    "bakery/definition/mistakes/": ("test_quick_commands.py",),
    "bakery/commands/definition/": (
        "test_quick_commands.py",
        "test_baked_definition.py",
    ),
    "examples/": ("test_quick_commands.py", "test_baked_definition.py"),
    "bakery/commands/": (
        "test_quick_commands.py",
        "test_ends_of_commands.py",
        "test_bake.py",
    ),
    "bakery/commands/command_line/": (
        "test_quick_commands.py",
        "test_ends_of_commands.py",
        "test_completion.py",
        "test_wheel.py",
    ),
    "bakery/commands/submit/": ("test_submit.py", "test_quick_commands.py"),
    "bakery/fleet/export/": (
        _TERRAFORM,
        "test_exported_files.py",
        "test_tardis.py",
        "test_quick_commands.py",
    ),
    "bakery/fleet/": (_LAUNCH, "test_fleet.py", "test_quick_commands.py"),
    "bakery/fleet/replacement/": (_LAUNCH, "test_fleet_replace.py", "test_quick_commands.py"),
    "bakery/fleet/self_deletion/": (
        _LAUNCH,
        "test_self_deletion_requests.py",
        "test_fleet_self_deletion.py",
        "test_quick_commands.py",
    ),
    "bakery/commands/fleet/": (_LAUNCH, "test_fleet.py", "test_quick_commands.py"),
    "bakery/openstack/": (_LAUNCH, "test_publish_glance.py", "test_fleet.py", "test_quick_commands.py"),
    "bakery/status/": ("test_status_command.py", "test_status_processes.py", "test_status_watch.py"),
    "bakery/status/workers.py": ("test_status_command.py", "test_status_workers.py"),
    "bakery/status/why/": ("test_status_why.py",),
    "bakery/commands/status/why.py": ("test_status_why.py", "test_quick_commands.py"),
    "bakery/commands/status/": ("test_status_command.py", "test_status_watch.py", "test_quick_commands.py"),
    "bakery/submit/": ("test_submit.py",),
    "bakery/commands/userdata.py": (
        "test_userdata_real.py",
        "test_userdata_check.py",
    ),
    "bakery/page/": ("test_page_in_browser.py", "test_page_programs.py"),
    "page/": ("test_page_in_browser.py", "test_page_programs.py"),
    "bakery/commands/page/": ("test_page_programs.py", "test_quick_commands.py"),
    "bakery/commands/remote.py": (
        _BECOMES,
        "test_provision_ssh.py",
    ),
    "bakery/commands/diff.py": ("test_image_diff.py",),
    "bakery/engines/": (
        "test_qemu_monitor.py",
        "test_bake.py",
        "test_packer_engine.py",
    ),
    "bakery/description/": ("test_signed_image.py", "test_describe.py"),
    "bakery/commands/description/": ("test_signed_image.py", "test_describe.py", "test_quick_commands.py"),
    "bakery/freshness/": (
        "test_outdated_paths.py",
        "test_rpm_updates.py",
        "test_snapshot.py",
        "test_freshness.py",
    ),
    "bakery/freshness/metadata/": ("test_rpm_updates.py", "test_snapshot.py", "test_freshness.py"),
    "bakery/freshness/images.py": ("test_outdated_paths.py",),
    "bakery/commands/outdated.py": ("test_outdated_paths.py", "test_quick_commands.py"),
    "bakery/freshness/versions.py": ("test_order_of_programs.py",),
    "provisioner/roles/locked.py": ("test_rpm_updates.py", "test_freshness.py"),
    "bakery/imagediff/": ("test_image_diff.py",),
    "bakery/userdata/": (
        "test_userdata_real.py",
        "test_prominence_values.py",
        "test_userdata_property.py",
    ),
    "bakery/userdata/matchmaking/": (
        "test_start_matching.py",
        "test_userdata_real.py",
        "test_userdata_property.py",
    ),
    "bakery/userdata/lint/": ("test_userdata_check.py",),
    "bakery/userdata/lint/shell/": ("test_userdata_shell.py", "test_userdata_check.py"),
    "bakery/machines/": (
        "test_network.py",
        "test_worker_jobs.py",
        "test_metadata_guard.py",
    ),
    "bakery/output/oci/": (_LAYER, _STARTED, "test_container.py", "test_docker_run.py"),
    "bakery/verify/pool/access_point.py": (_MATCH, "test_ospool_guides.py"),
    "bakery/verify/pool/failover.py": ("test_ospool_shape_proof.py",),
    "bakery/verify/clone/": (_SHARED, "test_broken_images.py"),
    "bakery/verify/site_tests.py": (_SITE,),
    "bakery/verify/": ("test_bake.py", "test_faults.py"),
    "cloud-init/": (
        "test_userdata_real.py",
        "test_wheel.py",
        "test_userdata_property.py",
    ),
    "packer/": ("test_wheel.py", "test_packer_engine.py"),
    "packer/bases/": ("test_pins.py", "test_wheel.py"),
    "packer/repositories.toml": (
        "test_wheel.py",
        "test_el_repositories.py",
    ),
    "provisioner/": (
        "test_run.py",
        "test_bake.py",
        "test_kill.py",
    ),
    "bakery/engines/packer/guest.py": ("test_packer_engine.py",),
    "bakery/engines/packer/disk_layers.py": ("test_qemu_monitor.py",),
    "bakery/engines/packer/temporary_repositories.py": ("test_packer_engine.py",),
    "provisioner/did_you_mean.py": ("test_quick_commands.py",),
    "bakery/engines/packer/qmp.py": ("test_qemu_monitor.py",),
    "provisioner/packages/repository_files.py": ("test_el_repositories.py",),
    "provisioner/process/run.py": (
        "test_run.py",
        "test_bake.py",
        "test_kill.py",
    ),
    "provisioner/steps.py": (
        "test_fetch_key.py",
        "test_bake.py",
    ),
    "provisioner/roles/": (
        "test_seal_script.py",
        "test_bake.py",
        "test_baked_roles.py",
    ),
    "provisioner/roles/site/": (
        "test_kernel_arguments.py",
        "test_baked_site.py",
        "test_site_on_el.py",
        "test_site_in_container.py",
        "test_seal_script.py",
        "test_bake.py",
    ),
    "provisioner/disk/growth.py": ("test_disk.py", "test_baked_site.py"),
    "bakery/image/customization_checks.py": ("test_quick_commands.py", "test_baked_site.py"),
    "provisioner/roles/seal.py": (
        "test_seal_script.py",
        "test_bake.py",
    ),
    "provisioner/roles/workers/ospool_data.py": (
        "test_ospool_jobs.py",
        "test_seal_script.py",
    ),
    "bakery/image/pelican.py": (
        "test_quick_commands.py",
        "test_ospool_jobs.py",
    ),
    "provisioner/roles/udocker.py": (
        "test_wheel.py",
        _STARTED,
        "test_container.py",
    ),
    "provisioner/targets/": (
        "test_bake.py",
        "test_el_repositories.py",
    ),
    "provisioner/targets/ssh.py": (
        _BECOMES,
        "test_provision_ssh.py",
    ),
    "provisioner/targets/host_keys.py": (
        _BECOMES,
        "test_provision_ssh.py",
    ),
    "examples/nightly/": ("test_nightly.py",),
    "examples/fleet/": ("test_reap_files.py",),
    "mkdocs.yml": ("test_documents_site.py",),
    "scripts/docs": ("test_documents_site.py",),
    "tools/": (
        "test_documents_site.py",
        "test_documents_examples.py",
    ),
    "scripts/": (
        "test_wheel.py",
        "test_quick_commands.py",
    ),
    "tests/": ("test_quick_commands.py",),
    "tests/image/": ("test_broken_offline.py", "test_bake.py"),
    "tests/ospool/": (_MATCH, "test_ospool_guides.py"),
    "tests/boot/": ("test_network.py",),
    "worker/": ("test_wheel.py", "test_worker_jobs.py"),
    "worker/common/": (
        "test_prominence_values.py",
        "test_worker_jobs.py",
        "test_worker_health.py",
        "test_life_configuration.py",
    ),
    "worker/common/etc/": ("test_worker_jobs.py", "test_life_jobs.py"),
    "worker/common/usr/lib/worker-bakery/worker_runtime/jobs/metadata_guard.py": (
        "test_metadata_guard.py",
    ),
    "worker/common/usr/lib/worker-bakery/pools.json": (
        "test_pools_of_htcondor.py",
        "test_pool_shape.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/configuration/servers.py": (
        "test_pools_of_htcondor.py",
        "test_pool_shape.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/lifecycle/join.py": (
        "test_pool_shape.py",
        "test_life_ends.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/jobs/storage.py": ("test_execute_disk.py",),
    "worker/common/usr/lib/worker-bakery/worker_runtime/jobs/health.py": ("test_worker_health.py",),
    "worker/common/usr/lib/worker-bakery/worker_runtime/container/": (
        _STARTED,
        "test_docker_ends.py",
        "test_docker_options.py",
        "test_docker_run.py",
        "test_docker_tokens.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/container/token_files.py": (
        "test_docker_tokens.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/lifecycle/drain.py": (
        "test_docker_ends.py",
        "test_life_ends.py",
    ),
    "worker/common/usr/lib/worker-bakery/worker_runtime/lifecycle/preemption.py": (
        "test_preemption_notices.py",
        "test_life_ends.py",
    ),
    "worker/ospool/usr/libexec/": (
        "test_ospool_jobs.py",
        "test_wheel.py",
    ),
    "worker/ospool/etc/condor/config.d/55-worker-ospool-jobs.config": (
        "test_ospool_jobs.py",
        "test_wheel.py",
    ),
    "worker/ospool/": ("test_ospool_attributes.py", "test_wheel.py"),
    "worker/osg/": (
        "test_worker_jobs.py",
        "test_life_configuration.py",
    ),
    "worker/prominence/": (
        "test_prominence_values.py",
        "test_worker_jobs.py",
        "test_prominence_life.py",
    ),
}


_PATHS = {
    path.name: str(path.relative_to(ROOT))
    for tier in ("integration", "boot")
    for path in (ROOT / "tests" / tier).rglob("test_*.py")
}


def _path(test: str) -> str:
    """The test as pytest is given it: names of files are unique (tests/unit/project/test_layers.py)."""
    name, mark, function = test.partition("::")
    return f"{_PATHS[name]}{mark}{function}"


SECONDS: Mapping[str, int] = {_path(test): seconds for test, seconds in _SECONDS.items()}
CONCERN: Mapping[str, tuple[str, ...]] = {
    place: tuple(_path(test) for test in tests) for place, tests in _CONCERN.items()
}


# Of a file of tests: whether all of them are marked, and their names.
_IS_FULL, _TEST = (
    re.compile(r"^pytestmark = pytest\.mark\.full\b", re.M),
    re.compile(r"^def (test_\w+)", re.M),
)


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


def arguments(test: str) -> tuple[str, ...]:
    """What pytest is given. It runs tests that are marked full only by their names (tests/conftest.py)."""
    text = (ROOT / test).read_text() if "::" not in test else ""
    if not _IS_FULL.search(text):
        return (test,)
    return tuple(f"{test}::{name}" for name in _TEST.findall(text))


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
    print("\n".join((*(word for test in found.chosen for word in arguments(test)), UNIT)))


if __name__ == "__main__":
    main()
