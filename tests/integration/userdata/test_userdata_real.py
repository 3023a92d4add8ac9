"""Generated user-data in the programs that read it: bash, cloud-init, the isofs of the kernel.

The file under /etc is written in a mount namespace whose /etc is an empty tmpfs.
"""

from __future__ import annotations

import importlib
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakery.runtime import data
from bakery.userdata import guest
from bakery.userdata.delivery import nocloud
from bakery.userdata.rendering import WorkerConf, conf_text, parse_conf, render, worker_keys
from provisioner.process.run import call, sandbox_argv

GUEST = data.WORKER / "common" / "usr" / "lib" / "worker-bakery"
CAN_MOUNT_ISO = "iso9660" in Path("/proc/filesystems").read_text()
NAMES = [
    "My Test Workers",
    "$(touch /etc/ran) `touch /etc/ran` ${HOME} \\ \\\\ \\n",
    "EOF",
    "' \" '\"'\"' % %s {{ 7 * 7 }} # ! & ; | > /etc/ran",
    "-n é 漢字 🐿",
    "\\",
]
CONF = WorkerConf(
    token="aaabbb...",
    start='TARGET.ProjectName == "TG-A" && regexp("^\\\\d$", X) && "$(Y)" != "`z`"',
    central_manager="cm.example.org:9618",
    settings={"IdleTimeout": "1200", "OnIdle": "stop", "MaxLifetime": "172800"},
)
RUN_WITH_AN_EMPTY_ETC = """\
set -e
mount -t tmpfs -o mode=0755 tmpfs /etc
if [ -n "$3" ]; then echo old >/etc/osg-worker.conf; chmod 644 /etc/osg-worker.conf; fi
umask 022
"$1"
cp -a /etc/. "$2"
"""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run_as_cloud_init_does(script: str, tmp_path: Path, *, before: bool = False) -> Path:
    """Run the user-data as root. Return a copy of the resulting /etc."""
    program, etc = tmp_path / "part-001", tmp_path / "etc"
    program.write_text(script, "utf-8")
    program.chmod(0o700)
    etc.mkdir()
    words = ["sh", "-c", RUN_WITH_AN_EMPTY_ETC, "sh", str(program), str(etc), "1" * before]
    call(sandbox_argv(words))
    return etc


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_bash_writes_the_exact_file_with_mode_0600(name: str, before: bool, tmp_path: Path) -> None:
    conf = replace(CONF, group_name=name)
    etc = run_as_cloud_init_does(render(conf, "script"), tmp_path, before=before)
    file = etc / "osg-worker.conf"
    assert names_in(etc) == ["osg-worker.conf"]
    assert file.read_bytes() == conf_text(conf).encode()
    about = file.stat()
    assert (stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid) == (0o600, 0, 0)


def test_a_script_that_cannot_write_fails(tmp_path: Path) -> None:
    script = render(CONF, "script").replace("/etc/osg-worker.conf", "/etc/none/osg-worker.conf")
    program = tmp_path / "part-001"
    program.write_text(script)
    call(["bash", str(program)], expect=(1,))


@pytest.mark.parametrize("name", NAMES)
def test_the_guest_reads_the_same_values(name: str) -> None:
    conf = replace(CONF, group_name=name)
    read = guest.read(conf_text(conf).encode())
    defaults = {key.key: key.default for key in worker_keys()}
    assert read.values == defaults | parse_conf(conf_text(conf))
    assert (read.problems, read.warnings) == ((), ())


@pytest.mark.parametrize(
    "change",
    [
        {"central_manager": "[2001:db8::1]:9618"},
        {"central_manager": "10.0.2.2:1"},
        {"central_manager": "3com.xn--e1afmkfd.example"},
        {"start": "[a = 1; b = 2].a == {1, 2}[0] && ('x y' =!= \"é ) // ; \\\\ \")"},
        {"start": "True"},
        {"settings": {"IdleTimeout": "0", "JoinTimeout": str(366 * 24 * 3600)}},
        {"settings": {"TokenFile": "/run/secrets/a token"}, "token": ""},
        {"settings": {"TokenCommand": "/usr/bin/vault 'a b' \\\"c"}, "token": ""},
        {"token": "!#$%&()*+,-./:;<=>?@[\\]^_`{|}~"},
    ],
)
def test_the_guest_accepts_every_accepted_value(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(GUEST))
    problem_with = importlib.import_module("worker_runtime.configuration.values").problem_with
    values = parse_conf(conf_text(replace(CONF, **change)))
    problems = {
        key.key: problem_with(key.kind, values[key.key]) for key in worker_keys() if key.key in values
    }
    assert not any(problems.values()), problems


def in_the_worker(root: Path, *argv: str) -> str:
    """Run a program of the worker in its root. Return its output."""
    proc = 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"'
    done = call(sandbox_argv(["sh", "-ec", proc, str(root), *argv], private_network=True))
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_cloud_init_finds_the_cloud_config_valid(name: str, worker_root: Path) -> None:
    file = worker_root / "root" / "user-data"
    file.write_text(render(replace(CONF, group_name=name), "cloud-config"), "utf-8")
    assert "Valid" in in_the_worker(worker_root, "cloud-init", "schema", "-c", "/root/user-data")


@pytest.mark.parametrize("name", [NAMES[1], NAMES[4]])
def test_cloud_init_writes_the_file(name: str, worker_root: Path) -> None:
    conf = replace(CONF, group_name=name)
    (worker_root / "root" / "user-data").write_text(render(conf, "cloud-config"), "utf-8")
    once = ("--name", "write_files", "--frequency", "always", "--file", "/root/user-data")
    in_the_worker(worker_root, "cloud-init", "single", *once)
    written = worker_root / "etc" / "osg-worker.conf"
    assert written.read_bytes() == conf_text(conf).encode()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_blkid_finds_the_seed_by_its_label(seed: Path) -> None:
    found = call(["blkid", "-p", "-o", "export", str(seed)]).stdout.splitlines()
    assert {"LABEL=cidata", "TYPE=iso9660"} <= set(found)


@pytest.mark.skipif(not CAN_MOUNT_ISO, reason="this kernel has no iso9660")
def test_the_kernel_reads_the_seed(seed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    mount = 'mount -o loop,ro "$1" /mnt && cp -a /mnt/. "$2"'
    call(sandbox_argv(["sh", "-ec", mount, "sh", str(seed), str(copy)]))
    assert names_in(copy) == ["meta-data", "user-data"]
    assert (copy / "user-data").read_text("utf-8") == render(CONF, "script")


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    path = tmp_path / "seed.iso"
    nocloud.write_seed(path, user_data=render(CONF, "script"), instance_id="i-1", hostname="w1")
    return path


def test_the_command_starts_without_the_modules_of_rendering() -> None:
    heavy = {"yaml", "classad2", "email", "gzip", "difflib", "datetime", "pycdlib", "jwt", "rich"}
    check = f"import sys, bakery.commands.userdata; sys.exit(bool({heavy} & set(sys.modules)))"
    call([sys.executable, "-c", check], cwd=data.ROOT)


def test_a_full_disk_and_a_closed_pipe_are_errors(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("aaabbb...\n")
    token.chmod(0o600)
    words = f"--token-file {token} --anyone -q --allow placeholder-token"
    command = f"{sys.executable} -m bakery.commands.userdata {words}"
    full = call(["bash", "-c", f"{command} >/dev/full"], cwd=data.ROOT, expect=(6,))
    assert full.stderr == (
        "error: Cannot write to standard output: No space left on device. Free some disk space.\n"
    )
    left = ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"]
    gone = call(left, cwd=data.ROOT, expect=(0, 141))  # 0: all of it was written before
    assert gone.stderr == ""


@pytest.mark.parametrize(
    "checked", ["""start.parse('stringListMember("a", X)')""", 'list(start.findings("TARGET"))']
)
def test_checking_a_start_does_not_set_condor_config(checked: str) -> None:
    """htcondor2 sets CONDOR_CONFIG=/dev/null when it is imported, and an image has no /dev/null."""
    script = (
        "import os, sys; from bakery.userdata import start;"
        f"{checked};"
        "print('htcondor2' in sys.modules, 'CONDOR_CONFIG' in os.environ)"
    )
    assert call([sys.executable, "-P", "-c", script]).stdout.split() == ["True", "False"]
