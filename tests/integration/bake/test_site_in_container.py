"""A container image with the additions of a site that a container can have, baked by the chroot engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bakery.bake import lookup
from bakery.bake.options import Options
from bakery.image.repositories import Replaced
from bakery.output.oci.root import open_archive
from bakery.store.store import Store
from provisioner.events import Silent
from tests import site
from tests.conftest import command
from tests.integration import repository
from tests.integration.bake.test_baked_site import authority, inside, owner, site_store, tools


# test_baked_site.py bakes the same additions for a machine.
@pytest.mark.full
def test_a_container_has_all_but_units(baked: dict[str, object], store: Store, tmp_path: Path) -> None:
    key, own = tools(tmp_path / "repository"), site_store(store, tmp_path / "cache")
    with repository.served(tmp_path / "repository") as url:
        options = Options(
            format="oci",
            level="offline",
            engine="chroot",
            checkpoints="none",
            replaced=Replaced({"site-tools": url}),
            customization=site.full((site.repository(key.encode()),), authority(), boots=False),
        )
        archive = lookup.bake(options, own, Silent()).path
    work, root = tmp_path / "work", tmp_path / "root"
    work.mkdir()
    open_archive(archive, work, root)
    assert owner(root, "/etc/site/agent.private") == ("agent:site", 0o640)
    assert owner(root, "/opt/site/bin/whoami") == ("agent:agent", 0o4755)
    assert inside(root, "getent", "passwd", "alice") == "alice:x:1234:1234::/home/alice:/bin/sh"
    assert not (root / "home/alice").exists()
    assert (root / "etc/site-agent").read_text() == "the agent\n"
    assert inside(root, "condor_config_val", "WORKER_GUARDS") == "TARGET.RequestMemory < 64000"
    assert b'"default": "cm.site.example"' in (root / "usr/lib/worker-bakery/keys.json").read_bytes()
    assert "BEGIN CERTIFICATE" in (root / "etc/ssl/certs/ca-certificates.crt").read_text()
    for path in ("usr/lib/tmpfiles.d/worker-site-homes.conf", "etc/systemd", "etc/sysctl.d/60-site.conf"):
        assert not (root / path).exists(), path
    # That of the build machine is used for the packages only.
    assert (root / "etc/resolv.conf").read_text() != Path("/etc/resolv.conf").read_text()
    shutil.rmtree(own.root)


def test_packer_makes_no_container_and_says_so_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('format = "oci"\npackages = ["tmux"]\n')
    bake = ("worker-bakery", "bake", str(tmp_path / "c.toml"), "-o", str(tmp_path / "c.tar"))
    env = {"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    done = command(*bake, "--engine", "packer", env=env)
    assert (done.status, done.out) == (3, "")
    assert "The engine packer is not usable: it does not make container images" in done.err
    assert "Use --engine chroot, as root." in done.err
    done = command(*bake, "--packer-files", str(tmp_path / "build"), env=env)
    assert done.status == 2
    assert "packer does not make container images." in done.err
    assert not (tmp_path / "build").exists()
