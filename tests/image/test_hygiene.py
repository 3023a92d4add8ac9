"""The image has no identity, no account with a password, and no trace of the build machine.

bakery/verify/secrets searches the contents of files and the raw bytes of the disk.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from provisioner.roles.seal import TRACES, Trace, machine_id, search_script

pytestmark = pytest.mark.offline


@pytest.fixture(scope="module")
def defined(host: Any) -> dict[str, Any]:
    """The digests of the certificate authorities and files in the image's definition; {} without one."""
    definition = host.file("/usr/lib/worker-bakery/definition.json")
    return json.loads(definition.content_string) if definition.exists else {}


@pytest.mark.parametrize("trace", TRACES, ids=[f"{trace.pattern}: {trace.why}" for trace in TRACES])
def test_no_trace_of_the_build_is_in_the_image(host: Any, trace: Trace) -> None:
    """Neither names of files nor globs of a shell decide, which leave hidden names out."""
    left = host.run(search_script(trace)).stdout
    assert not left, f"{trace.why} in the image: {left}"


def test_machine_id_is_unset_until_the_first_boot(host: Any, system: Any) -> None:
    assert host.file("/etc/machine-id").content_string == machine_id(system.family)


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/gshadow", "/etc/passwd"])
def test_no_account_has_a_password(host: Any, path: str) -> None:
    """In passwd, x refers to shadow; nothing there means that no password is asked for."""
    no_password = ("*", "!", "!*", "!!")
    locked = {"/etc/shadow": no_password, "/etc/gshadow": (*no_password, ""), "/etc/passwd": ("x",)}
    rows = [row.split(":") for row in host.file(path).content_string.splitlines()]
    assert [name for name, password, *_ in rows if password not in locked[path]] == []


_HISTORY = ".*_history .lesshst .viminfo .wget-hsts .python_history .rediscli_history .zhistory"


def test_no_shell_history_is_in_the_image(host: Any) -> None:
    """Any folder may be the home directory of an account."""
    names = " -o ".join(f"-name '{name}'" for name in _HISTORY.split())
    assert host.run(f"find / -xdev -type f \\( {names} \\) -size +0").stdout == ""


def test_no_login_key_is_in_the_image(host: Any, defined: dict[str, Any]) -> None:
    found = host.run("find / -xdev -type f -name 'authorized_keys*' -size +0").stdout.split()
    assert [path for path in found if defined.get("files", {}).get(path) != host.file(path).sha256sum] == []


def test_apt_uses_no_proxy(host: Any, system: Any, defined: dict[str, Any]) -> None:
    """apt-config(8) reads what apt reads, whatever the names of the files."""
    text = "" if system.is_el else host.check_output("apt-config dump")
    set_here = re.findall(r'^(Acquire::\S*[Pp]roxy\S*) "(?!DIRECT|false)[^"]+";', text, re.MULTILINE)
    assert set_here == [] or any("apt" in path for path in defined.get("files", {}))


_SECRET_PLACES = (
    *("SEC_TOKEN_DIRECTORY", "SEC_TOKEN_SYSTEM_DIRECTORY", "SEC_TOKEN_POOL_SIGNING_KEY_FILE"),
    *("SEC_PASSWORD_DIRECTORY", "SEC_PASSWORD_FILE", "SEC_CREDENTIAL_DIRECTORY_OAUTH"),
    *("SEC_CREDENTIAL_DIRECTORY_KRB", "AUTH_SSL_SERVER_KEYFILE", "AUTH_SSL_CLIENT_KEYFILE"),
)


@pytest.mark.parametrize("setting", _SECRET_PLACES)
def test_condor_has_no_secret(host: Any, setting: str) -> None:
    """By HTCondor's own configuration: a pool password is random bytes, which no search recognizes."""
    for path in host.run("condor_config_val %s", setting).stdout.replace(",", " ").split():
        if path.startswith("/"):
            assert host.run("find %s -xdev ! -type d", path).stdout == ""


def test_the_name_servers_are_not_those_of_the_build_machine(host: Any) -> None:
    """A link leads to a file of a running system; a container runtime mounts a file of its own."""
    image, ours = host.file("/etc/resolv.conf"), Path("/etc/resolv.conf")
    if image.is_file and not image.is_symlink and ours.exists():
        servers = set(re.findall(r"^nameserver\s+(\S+)", ours.read_text(), re.MULTILINE))
        in_image = set(re.findall(r"^nameserver\s+(\S+)", image.content_string, re.MULTILINE))
        assert in_image & servers - {"127.0.0.53", "127.0.0.1"} == set()


def test_no_certificate_of_the_build_machine_is_in_the_image(host: Any, defined: dict[str, Any]) -> None:
    """The image trusts the authorities of the distribution and of its definition only."""
    for folder in ("/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"):
        for path in host.run("find %s -type f", folder).stdout.splitlines():
            assert host.file(path).sha256sum == defined.get("ca_certificates", {}).get(path), path


def test_logs_take_less_than_1_mib(host: Any) -> None:
    assert int(host.check_output("du -s /var/log").split()[0]) < 1024
