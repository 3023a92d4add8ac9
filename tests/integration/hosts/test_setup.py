"""scripts/setup on each distribution: the exact commands, and whether the packages exist.

`python -m tests.integration.hosts.test_setup` writes the expected commands (tests/golden/setup/) anew.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bakery.runtime import mirror
from provisioner.process import run

ROOT = Path(__file__).parent.parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "setup"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEBIAN_SOURCES = """\
Types: deb
URIs: http://mirror.invalid/debian
Suites: {0} {0}-updates
Components: main
"""
# os-release(5) of each, with the keys that setup reads.
RELEASES: Mapping[str, str] = {
    "debian-12": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
    "debian-13": 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n',
    "ubuntu-22.04": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\nUBUNTU_CODENAME=jammy\n',
    "ubuntu-24.04": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nUBUNTU_CODENAME=noble\n',
    "rocky-9": 'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"\nPLATFORM_ID="platform:el9"\n',
    "almalinux-10": 'ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="10.1"\n'
    'PLATFORM_ID="platform:el10"\n',
    "centos-stream-9": 'ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="9"\nPLATFORM_ID="platform:el9"\n',
    "rhel-10": 'ID="rhel"\nID_LIKE="centos fedora"\nVERSION_ID="10.0"\nPLATFORM_ID="platform:el10"\n',
    "fedora-43": 'ID=fedora\nVERSION_ID=43\nPLATFORM_ID="platform:f43"\n',
}
# Relatives, the distribution whose list they get, and what they are told.
RELATIVES: Mapping[str, tuple[str, str]] = {
    'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="21.3"\nUBUNTU_CODENAME=jammy\n': (
        "ubuntu-22.04",
        "installing as on ubuntu-22.04",
    ),
    'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="26.04"\nUBUNTU_CODENAME=resolute\n': (
        "ubuntu-24.04",
        "installing as on ubuntu-24.04",
    ),
    'ID=debian\nPRETTY_NAME="Debian GNU/Linux forky/sid"\nVERSION_CODENAME=forky\n': (
        "debian-13",
        "Debian GNU/Linux forky/sid is not a tested build host; installing as on debian-13",
    ),
    'ID="ol"\nID_LIKE="fedora"\nVERSION_ID="10.0"\nPLATFORM_ID="platform:el10"\n': (
        "rhel-10",
        "installing as on el-10",
    ),
}


def setup(
    os_release: str, folder: Path, *options: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run scripts/setup as on a machine with this os-release and an apt configuration of Debian 12."""
    apt = folder / "etc" / "apt" / "sources.list.d"
    apt.mkdir(parents=True, exist_ok=True)
    (folder / "etc" / "os-release").write_text(os_release)
    (apt / "debian.sources").write_text(DEBIAN_SOURCES.format("bookworm"))
    return subprocess.run(
        [ROOT / "scripts" / "setup", *options],
        env={**os.environ, "SETUP_ROOT": str(folder), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", RELEASES)
def test_the_commands_for_each_distribution(name: str, tmp_path: Path) -> None:
    done = setup(RELEASES[name], tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "not a tested build host" not in done.stderr
    assert done.stdout == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("os_release", RELATIVES)
def test_a_relative_gets_the_list_of_what_it_is_like_and_a_warning(os_release: str, tmp_path: Path) -> None:
    name, warning = RELATIVES[os_release]
    done = setup(os_release, tmp_path, "--dry-run")
    assert done.returncode == 0
    assert warning in done.stderr
    assert done.stdout == (GOLDEN / f"{name}.txt").read_text()


def test_an_unknown_distribution_is_told_what_is_missing(tmp_path: Path) -> None:
    """Where only the shell's own tools are."""
    path = tmp_path / "bin"
    link_tools(path)
    done = setup("ID=plan9\n", tmp_path, "--dry-run", env={"PATH": str(path)})
    assert done.returncode == 3
    assert not done.stdout
    assert {"qemu-img", "qemu-system-x86_64", "mcopy", "ssh-keygen"} <= set(done.stderr.split())
    assert "docs/how-to/build-hosts.md" in done.stderr


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    done = setup(RELEASES["debian-13"], tmp_path, "--dryrun")
    assert done.returncode == 2
    assert "unknown option --dryrun" in done.stderr


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_each_option(option: str, tmp_path: Path) -> None:
    done = setup(RELEASES["debian-13"], tmp_path, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"scripts/setup {one} " in done.stdout for one in ("--dry-run", "--runtime"))
    assert "set -e" not in done.stdout


def test_runtime_leaves_out_what_only_tests_need(tmp_path: Path) -> None:
    done = setup(RELEASES["debian-13"], tmp_path, "--dry-run", "--runtime")
    packages = set(done.stdout.split())
    assert {"mkosi", "qemu-system-x86", "ovmf", "mtools"} <= packages
    assert not packages & {"shellcheck", "zsh", "fish", "buildah"}


def link_tools(path: Path, **fakes: str) -> None:
    """A PATH with the programs that the script itself calls, and scripts in the place of others."""
    path.mkdir()
    for name in ("bash", "cat", "cut", "dirname", "env", "grep", "head", "id", "sed", "sh"):
        (path / name).symlink_to(run.call(["sh", "-c", f"command -v {name}"]).stdout.strip())
    for name, text in fakes.items():
        script = path / name.replace("_", "-").replace("x86-64", "x86_64")
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)


OLD = {
    "apt_get": 'echo "$*" >>"$APT_LOG"; case $* in *packer*) exit 100 ;; esac',
    "qemu_system_x86_64": "echo 'QEMU emulator version 6.2.0 (Debian 1:6.2)'",
    "mkosi": "echo 'mkosi 12'",
    "python3.11": "exit 0",
    **dict.fromkeys(("qemu_img", "setpriv", "unshare", "sfdisk"), "exit 0"),
}


def test_what_a_distribution_lacks_is_said_and_does_not_fail(tmp_path: Path) -> None:
    """An installation as on Ubuntu 22.04, with its versions, where the mirror has no packer."""
    link_tools(tmp_path / "bin", **OLD)
    env = {"PATH": str(tmp_path / "bin"), "APT_LOG": str(tmp_path / "apt.log")}
    done = setup(RELEASES["ubuntu-22.04"], tmp_path, "--runtime", env=env)
    assert done.returncode == 0, done.stderr
    assert "install qemu-system-x86 " in (tmp_path / "apt.log").read_text()
    assert "have no packer" in done.stderr
    assert "debian13 cannot be built without mkosi 24: use --base debian13-cloud" in done.stderr
    assert "without QEMU 8" in done.stderr
    assert "the engine packer is not available" in done.stderr


def test_without_python_3_11_setup_fails(tmp_path: Path) -> None:
    link_tools(tmp_path / "bin", **{**OLD, "python3.11": "exit 1"})
    env = {"PATH": str(tmp_path / "bin"), "APT_LOG": str(tmp_path / "apt.log")}
    # /usr/bin/python3 of this machine is not on that PATH, but setup looks there, too.
    script = (ROOT / "scripts" / "setup").read_text().replace("/usr/bin/python3", "/missing/python3")
    copy = tmp_path / "checkout" / "scripts"
    copy.mkdir(parents=True)
    (copy / "hosts").symlink_to(ROOT / "scripts" / "hosts")
    (copy / "setup").write_text(script)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text(RELEASES["ubuntu-22.04"])
    done = subprocess.run(
        ["bash", copy / "setup", "--runtime"],
        env={**os.environ, **env, "SETUP_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "cannot run without these" in done.stderr
    assert "python-3.11" in done.stderr


# --- the packages against the metadata of the repositories ------------------------------------------

# Of each distribution with apt: its suites, its components, and the variable that names a mirror of it.
# Without the variable, Debian's mirror is that of this machine.
SUITES = {
    "debian-12": (("bookworm", "bookworm-updates", "bookworm-backports"), "main", "DEBIAN_MIRROR"),
    "debian-13": (("trixie", "trixie-updates"), "main", "DEBIAN_MIRROR"),
    "ubuntu-22.04": (("jammy", "jammy-updates"), "main universe", "UBUNTU_MIRROR"),
    "ubuntu-24.04": (("noble", "noble-updates"), "main universe", "UBUNTU_MIRROR"),
}


def mirror_of(name: str) -> str:
    given = os.environ.get(SUITES[name][2], "")
    if not given and name.startswith("debian"):
        return mirror.find().main
    if not given:
        pytest.skip(f"the packages of {name} were NOT checked: set {SUITES[name][2]}=http://MIRROR/ubuntu")
    return given


@pytest.fixture
def apt(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """apt-get for another release: its own configuration and state, in which no package is installed."""
    suites, components, _ = SUITES[request.param]
    url = mirror_of(request.param)
    trust = f"signed-by={KEYRING}" if request.param.startswith("debian") else "trusted=yes"
    for folder in ("lists/partial", "archives/partial", "etc/preferences.d", "etc/apt.conf.d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "sources.list").write_text(
        "".join(f"deb [arch=amd64 {trust}] {url} {suite} {components}\n" for suite in suites)
    )
    options = {
        "Dir::Etc": tmp_path / "etc",
        "Dir::Etc::SourceList": tmp_path / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": tmp_path,
        "Dir::State::Lists": tmp_path / "lists",
        "Dir::State::Status": tmp_path / "status",
        "Dir::Cache": tmp_path,
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",
    }
    argv = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
    run.call([*argv, "update"])
    yield argv


# Each reads the lists of a release. That of the CI is in each run.
@pytest.mark.parametrize(
    ("apt", "name"),
    [pytest.param(name, name, marks=[] if name == "debian-12" else [pytest.mark.full]) for name in SUITES],
    indirect=["apt"],
)
def test_apt_would_install_the_packages_in_an_empty_root(apt: list[str], name: str) -> None:
    """Each `install` of the commands, simulated: every package exists, and so do its dependencies."""
    rows = (GOLDEN / f"{name}.txt").read_text().splitlines()
    installs = [row.split() for row in rows if " install " in f"{row} "]
    assert installs
    for words in installs:
        after = words[words.index("apt-get") + 1 :]
        run.call([*apt, "-s", *after])


@pytest.mark.parametrize("name", [name for name in RELEASES if name not in SUITES])
def test_dnf_would_install_the_packages(name: str) -> None:
    pytest.skip(
        f"the packages of {name} were NOT checked: this machine reaches no mirror of its repositories"
    )


def write_golden() -> None:
    for name, os_release in RELEASES.items():
        with tempfile.TemporaryDirectory() as folder:
            done = setup(os_release, Path(folder), "--dry-run")
            (GOLDEN / f"{name}.txt").write_text(done.stdout)


if __name__ == "__main__":
    write_golden()
