"""The pure parts of verification: levels, QEMU's command line, reports of the image tests."""

from __future__ import annotations

import shlex
from pathlib import Path
from subprocess import Popen
from typing import cast

import pytest

from bakery.commands import bake_options
from bakery.machines import vm
from bakery.machines.accelerator import KVM, TCG
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.verify import image_tests, verification
from bakery.verify.pool import throwaway_pool
from provisioner.errors import BadInput, NotProven


def command(firmware: tuple[str, ...] = (), disks: tuple[Path, ...] = ()) -> list[str]:
    login = vm.Login("debian", Path("/key"))
    settings = vm.Settings(Path("/i.qcow2"), Path("/seed.iso"), login, TCG, disks=disks)
    return vm.command(settings, Path("/disk.qcow2"), Path("/serial"), 2222, firmware)


def test_a_level_includes_those_below_it() -> None:
    assert verification.up_to("none") == ()
    assert verification.up_to("boot") == ("offline", "boot")
    assert verification.up_to("pool") == ("offline", "boot", "pool")
    assert verification.up_to("clone") == ("offline", "boot", "pool", "clone")


@pytest.mark.parametrize(
    ("argv", "level"),
    [([], "boot"), (["--format", "oci"], "offline"), (["--verify", "pool"], "pool")],
)
def test_the_level_that_bake_image_verifies(argv: list[str], level: str) -> None:
    assert bake_options.options(bake_options.parser().parse_args(argv)).level == level


def test_a_request_is_the_same_after_json() -> None:
    request = verification.Request(Path("/i.qcow2"), ("boot",), "debian", firmware="efi")
    assert verification.from_json(request.to_json()) == request


def test_qemu_listens_on_loopback_only_and_has_no_display() -> None:
    words = command()
    forwards = [word for word in words if "hostfwd" in word]
    assert forwards == ["user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:2222-:22"]
    assert words[words.index("-display") + 1] == "none"
    assert "-nodefaults" in words
    assert "-vnc" not in words


def test_qemu_never_opens_the_image_itself() -> None:
    assert not [word for word in command() if "/i.qcow2" in word]


def test_further_disks_come_after_the_overlay_and_the_seed() -> None:
    words = command(disks=(Path("/one.raw"), Path("/two.raw")))
    drives = [word.split(",")[0] for word in words if word.startswith("file=")]
    assert drives == ["file=/disk.qcow2", "file=/seed.iso", "file=/one.raw", "file=/two.raw"]


def test_a_namespace_machine_with_disks_is_an_error(tmp_path: Path) -> None:
    image = Image(Path("/i.qcow2"), Path("/root-of-it"), "debian")
    wanted = Needs(disks=(Path("/one.raw"),))
    with pytest.raises(BadInput, match="no disks"), boot(wanted, image, tmp_path):
        pass


def test_ssh_passes_the_arguments_of_a_program_unchanged() -> None:
    login = vm.Login("debian", Path("/key"))
    settings = vm.Settings(Path("/i.qcow2"), Path("/seed.iso"), login, TCG, network=Network(4711))
    process = cast("Popen[bytes]", None)  # not used by the command line
    argv = ["sh", "-c", "echo $HOME 'a b'"]
    words = vm.VirtualMachine(Path("/console"), process, settings, 2222, 0.0).ssh(argv)
    assert words[:4] == ["nsenter", "--net=/proc/4711/ns/net", "--", "ssh"]
    assert words[-2] == "debian@127.0.0.1"
    remote = shlex.split(words[-1])
    assert remote[:2] == ["sudo", "-n"]
    assert remote[-3:] == argv


def test_time_limits_are_longer_under_software_emulation() -> None:
    assert KVM.slowdown == 1
    assert TCG.slowdown > 3


@pytest.mark.parametrize(
    ("text", "quoted"), [("My Workers", '"My Workers"'), ('a"b', r'"a\"b"'), ("a\\b", r'"a\\b"')]
)
def test_a_classad_string_is_quoted(text: str, quoted: str) -> None:
    assert throwaway_pool.classad_string(text) == quoted


JUNIT = """<?xml version="1.0"?><testsuites><testsuite tests="{tests}">
<testcase name="one"/><testcase name="two">{two}</testcase></testsuite></testsuites>"""


def report(tmp_path: Path, two: str, tests: int = 2) -> Path:
    (tmp_path / "report.xml").write_text(JUNIT.format(two=two, tests=tests))
    return tmp_path / "report.xml"


def test_a_report_counts_passed_tests_and_names_skipped_ones(tmp_path: Path) -> None:
    result = image_tests.read_report(report(tmp_path, '<skipped message="no GPU"/>'))
    assert result == image_tests.Result(1, ("two: no GPU",))


def test_a_report_without_a_passed_test_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotProven, match="No image test ran"):
        image_tests.read_report(report(tmp_path, "<skipped message=''/>", tests=1))


def test_failures_have_the_name_of_the_test_and_no_token(tmp_path: Path) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"
    text = image_tests.failures(report(tmp_path, f'<failure message="found {token}"/>'))
    assert "two: found [token]" in text
