"""Programs of Debian's packages: unpacked in the cache, nothing of them is installed here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bakery.store.locks import lock_file
from provisioner.process import run
from tests.integration.tool_environments import CACHE, environment

_DEBIAN = ("mariadb-server-core", "mariadb-server", "mariadb-client-core", "rabbitmq-server")
_PYTHON = (
    *("keystone==30.*", "glance==33.*", "openstack-placement==16.*", "neutron==29.*", "nova==34.*"),
    *("pymysql==1.*", "gunicorn==27.*", "openstacksdk>=4"),
)


def python() -> Path:
    """The folder of the environment with the services."""
    return environment("openstack-services", _PYTHON)


def debian() -> Path:
    """The folder in which the packages, and those that they require here, are unpacked."""
    folder = CACHE / "mariadb-rabbitmq"
    with lock_file(CACHE / "mariadb-rabbitmq.lock"):
        if not folder.exists():
            new = CACHE / f"mariadb-rabbitmq-{os.getpid()}"
            shutil.rmtree(new, ignore_errors=True)
            (new / "archives/partial").mkdir(parents=True)
            _unpack(new, _DEBIAN)
            new.rename(folder)
    return folder


def faketime() -> Path:
    """The library that shifts the clock of a program: LD_PRELOAD, with FAKETIME=+3h."""
    folder = CACHE / "libfaketime"
    with lock_file(CACHE / "libfaketime.lock"):
        if not folder.exists():
            new = CACHE / f"libfaketime-{os.getpid()}"
            shutil.rmtree(new, ignore_errors=True)
            (new / "archives/partial").mkdir(parents=True)
            _unpack(new, ("libfaketime",))
            new.rename(folder)
    [library] = folder.rglob("libfaketimeMT.so.1")
    return library


def _unpack(new: Path, packages: Sequence[str]) -> None:
    options = ("-o", f"Dir::Cache::archives={new}/archives", "-o", "APT::Sandbox::User=root")
    run.call(
        ["apt-get", "-q", "-y", "--no-install-recommends", "--reinstall", "--download-only", *options,
         "install", *packages],
        seconds=900,
    )  # fmt: skip
    for package in (new / "archives").glob("*.deb"):
        run.call(["dpkg", "-x", str(package), str(new)])
    shutil.rmtree(new / "archives")
    for name in ("lib", "bin", "sbin"):  # which are links to /usr on the machine
        if (new / name).is_dir():
            run.call(["cp", "-a", f"{new / name}/.", str(new / "usr" / name)])
