"""Root with the capabilities of an unprivileged container: what is missing is said, and what remains."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from provisioner.process import run
from tests.conftest import Ended, command

# What a container may without --privileged. (Moby's profile, oci/caps/defaults.go.)
_DEFAULT = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap"),
)
_KEPT = ",".join(f"+{name}" for name in _DEFAULT)
LIMITED = ("setpriv", f"--bounding-set=-all,{_KEPT}", "--inh-caps=-all")


def limited(*argv: str, cache: Path) -> Ended:
    return command("bake-image", *argv, env={"WORKER_BAKERY_CACHE": str(cache)}, prefix=LIMITED)


@pytest.mark.parametrize("argv", [(), ("--engine", "chroot", "--verify", "none")])
def test_a_bake_names_the_engine_that_remains(
    root_only: None, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    ended = limited(*argv, cache=tmp_path)
    assert ended.status == 3
    assert "root has no CAP_SYS_ADMIN here, as in a container without --privileged." in ended.err
    assert "only the engine packer is usable, without verification" in ended.err


def test_a_base_is_not_built_where_namespaces_are_refused(root_only: None, tmp_path: Path) -> None:
    ended = limited("--engine", "packer", "--verify", "none", cache=tmp_path)
    assert ended.status == 3
    assert "A base cannot be built from packages here: this system refuses new namespaces" in ended.err
    assert "Operation not permitted" in ended.err


def test_auto_says_why_it_does_not_take_chroot(root_only: None) -> None:
    """The obstacles of both engines, as `--engine auto` sees them."""
    code = "from bakery.engines.choice import *; print(obstacles('auto').chroot, obstacles('auto').packer)"
    done = run.call([*LIMITED, sys.executable, "-c", code])
    assert done.stdout.strip() == "root has no CAP_SYS_ADMIN here, as in a container without --privileged."


def test_a_plan_needs_no_capability(root_only: None, tmp_path: Path) -> None:
    assert limited("--dry-run", cache=tmp_path).status == 0
