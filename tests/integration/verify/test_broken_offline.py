"""Each defect of a worker image is refused at the level offline by the test that is for it.

The image tests run on a layer over the default image, as verification runs them on a mounted image.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import testinfra

from tests import secrets_of_tests as made
from tests.image import test_hygiene as hygiene
from tests.image import test_worker_offline as worker
from tests.image.conftest import SYSTEMS

UNITS = "usr/lib/systemd/system"
RUNTIME = "usr/lib/worker-bakery/worker_runtime"
Check = Callable[[Any], None]


def written(path: str, content: str | bytes = "x\n") -> Callable[[Path], None]:
    def write(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with (root / path).open("ab") as out:
            out.write(content.encode() if isinstance(content, str) else content)

    return write


def replaced(path: str, old: str, new: str) -> Callable[[Path], None]:
    def replace(root: Path) -> None:
        text = (root / path).read_text()
        assert text.count(old) >= 1, path
        (root / path).write_text(text.replace(old, new))

    return replace


def removed(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def masked(unit: str) -> Callable[[Path], None]:
    def mask(root: Path) -> None:
        (root / "etc/systemd/system" / unit).unlink(missing_ok=True)
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")

    return mask


def kind(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "usr/lib/worker-bakery/kind.json").read_text())
    return found


def units(root: Path, host: Any) -> None:
    worker.test_units_that_the_worker_requires_exist_and_are_not_masked(host, kind(root))


def drop_in(name: str, row: str) -> Callable[[Path, Any], None]:
    return lambda _, host: worker.test_a_unit_has_the_settings_of_the_worker(host, name, row)


GUARD = drop_in("condor.service.d/50-worker.conf", "Requires=worker-metadata-guard.service")
ACCOUNTS = drop_in("condor.service.d/60-worker-jobs.conf", "Requires=worker-resources.service")
NFTABLES = drop_in(
    "nftables.service.d/50-worker.conf", "ExecStartPost=-/usr/lib/worker-bakery/worker guard"
)


def imports(_: Path, host: Any) -> None:
    worker.test_runtime_is_imported_by_the_image_s_python(host)


def passwords(path: str) -> Callable[[Path, Any], None]:
    return lambda _, host: hygiene.test_no_account_has_a_password(host, path)


def condor(setting: str) -> Callable[[Path, Any], None]:
    return lambda _, host: hygiene.test_condor_has_no_secret(host, setting)


def proxy(_: Path, host: Any) -> None:
    hygiene.test_apt_uses_no_proxy(host, SYSTEMS["debian"], {})


def history(_: Path, host: Any) -> None:
    hygiene.test_no_shell_history_is_in_the_image(host)


def login_key(_: Path, host: Any) -> None:
    hygiene.test_no_login_key_is_in_the_image(host, {})


def servers(_: Path, host: Any) -> None:
    hygiene.test_the_name_servers_are_not_those_of_the_build_machine(host)


def own_resolver(root: Path) -> None:
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")


SIGNING_KEY = "etc/condor/passwords.d/.POOL"
BREAKS: Mapping[str, tuple[Callable[[Path], None], Callable[[Path, Any], None]]] = {
    "the metadata guard has no unit": (removed(f"{UNITS}/worker-metadata-guard.service"), units),
    "the accounts of slots have no unit": (removed(f"{UNITS}/worker-resources.service"), units),
    "the worker's file is not watched": (removed(f"{UNITS}/osg-worker.path"), units),
    "the metadata guard is masked": (masked("worker-metadata-guard.service"), units),
    "HTCondor is masked": (masked("condor.service"), units),
    "HTCondor does not require the guard": (removed(f"{UNITS}/condor.service.d/50-worker.conf"), GUARD),
    "HTCondor only wants the guard": (
        replaced(f"{UNITS}/condor.service.d/50-worker.conf", "Requires=worker-m", "Wants=worker-m"),
        GUARD,
    ),
    "HTCondor does not require the accounts": (
        removed(f"{UNITS}/condor.service.d/60-worker-jobs.conf"),
        ACCOUNTS,
    ),
    "an administrator's file takes the requirement back": (
        written("etc/systemd/system/condor.service.d/99-x.conf", "[Unit]\nRequires=\n"),
        GUARD,
    ),
    "the firewall's reload drops the guard": (
        removed(f"{UNITS}/nftables.service.d/50-worker.conf"),
        NFTABLES,
    ),
    "the guard's module is missing": (removed(f"{RUNTIME}/jobs/metadata_guard.py"), imports),
    "a module of the runtime is damaged": (written(f"{RUNTIME}/jobs/health.py", "x = = 1\n"), imports),
    "an account has no password at all": (
        written("etc/passwd", "toor::0:0::/root:/bin/sh\n"),
        passwords("/etc/passwd"),
    ),
    "an account has a password": (
        written("etc/shadow", made.password_hash() + b"\n"),
        passwords("/etc/shadow"),
    ),
    "an account has an empty password": (
        written("etc/shadow", "toor::19000:0:99999:7:::\n"),
        passwords("/etc/shadow"),
    ),
    "a group has a password": (
        written("etc/gshadow", f"g:{made.random(13)}::\n"),
        passwords("/etc/gshadow"),
    ),
    "apt has a proxy, in a file of any name": (
        written("etc/apt/apt.conf.d/99x", 'Acquire { http { Proxy "http://10.0.0.1:3142"; }; };\n'),
        proxy,
    ),
    "a signing key has a hidden name": (
        written(SIGNING_KEY, b"\x9a\x01\x02"),
        condor("SEC_PASSWORD_DIRECTORY"),
    ),
    "HTCondor's configuration names another folder of passwords": (
        lambda root: (
            written("etc/condor/config.d/99-x.config", "SEC_PASSWORD_DIRECTORY = /opt/keys\n")(root),
            written("opt/keys/POOL", b"\x9a\x01\x02")(root),
        )[0],
        condor("SEC_PASSWORD_DIRECTORY"),
    ),
    "an account of a service has a shell history": (written("var/lib/condor/.bash_history"), history),
    "an account of a service has a login key": (
        written("opt/agent/.ssh/authorized_keys2", made.public_key()),
        login_key,
    ),
    "the name servers are those of the build machine": (own_resolver, servers),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_defect_is_refused_offline(name: str, worker_root: Path) -> None:
    break_it, check = BREAKS[name]
    host = testinfra.get_host(str(worker_root), connection="chroot")
    check(worker_root, host)  # the image as it is
    break_it(worker_root)
    with pytest.raises(AssertionError):
        check(worker_root, host)
