"""A file that the user names may be a pipe, a device or huge: an error says so, and no command hangs."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from bakery.commands import main as commands
from bakery.commands.command_line import program
from bakery.description import minisign_keys, signature, vulnerabilities
from bakery.image import apt_source
from provisioner import named_file
from provisioner.errors import BadInput
from provisioner.targets import host_keys, ssh
from tests.unit.commands.test_gen_userdata_command import signals  # noqa: F401  # a fixture

LIMIT = 60  # seconds; a busy machine
USERDATA = ("--token-file", "token", "--project", "TG-ABC123")
POOL = ("--pool", "127.0.0.1", "--group", "g")
SSH = ("--ssh", "root@127.0.0.1:1")
# The command line for each option or argument that names a file that is read; FILE is the file.
READ = {
    "bake files": ("bake", "FILE", "--dry-run"),
    "bake --base-image": ("bake", "--base-image", "FILE", "--family", "debian", "--dry-run"),
    "bake --apt-source": (
        "bake",
        "--with",
        "cvmfs",
        "--cvmfs-repositories",
        "a.b",
        "--apt-source",
        "FILE",
        "--dry-run",
    ),
    "bake --pelican": ("bake", "--with", "ospool", "--pelican", "FILE", "--dry-run"),
    "bake --lock": ("bake", "--lock", "FILE", "--dry-run"),
    "bake --sign": ("bake", "--sign", "FILE", "--passphrase-file", "token"),
    "bake --passphrase-file": ("bake", "--sign", "key", "--passphrase-file", "FILE"),
    "verify image": ("verify", "FILE", "--level", "offline"),
    "verify --signature": ("verify", "image.qcow2", "--signature", "FILE"),
    "verify --test": ("verify", "image.qcow2", "--test", "FILE"),
    "describe image": ("describe", "FILE"),
    "describe --vulnerabilities": ("describe", "image.qcow2", "--vulnerabilities", "FILE"),
    "sign image": ("sign", "FILE", "--key", "key"),
    "sign --key": ("sign", "image.qcow2", "--key", "FILE"),
    "sign --passphrase-file": ("sign", "image.qcow2", "--key", "key", "--passphrase-file", "FILE"),
    "publish image": ("publish", "FILE", "--to", "file:///out"),
    "publish --require-signature": (
        "publish",
        "image.qcow2",
        "--to",
        "file:///out",
        "--require-signature",
        "FILE",
    ),
    "outdated images": ("outdated", "FILE"),
    "diff a": ("diff", "FILE", "image.qcow2"),
    "diff b": ("diff", ".", "FILE"),
    "rebuild image": ("rebuild", "FILE"),
    "rebuild --apt-source": ("rebuild", "image.qcow2", "--apt-source", "FILE"),
    "shell image": ("shell", "FILE"),
    "bases --result": ("bases", "--result", "FILE"),
    "token inspect file": ("token", "inspect", "FILE"),
    "token create --for": (
        "token",
        "create",
        "--for",
        "FILE",
        "-o",
        "out",
        "--issuer",
        "x",
        "--key",
        "key",
    ),
    "token create --key": (
        "token",
        "create",
        "--key",
        "FILE",
        "--issuer",
        "x",
        "--identity",
        "a@b",
        "-o",
        "out",
    ),
    "token fetch --user-token-file": (
        "token",
        "fetch",
        "--user-token-file",
        "FILE",
        "--pool",
        "127.0.0.1",
        "-o",
        "out",
    ),
    "token check file": ("token", "check", "FILE", "--pool", "127.0.0.1"),
    "userdata --token-file": ("userdata", "--token-file", "FILE", "--project", "TG-ABC123"),
    "userdata --check": ("userdata", "--check", "FILE"),
    "userdata --include": ("userdata", *USERDATA, "--format", "mime", "--include", "FILE"),
    "userdata --batch": ("userdata", *USERDATA, "--batch", "FILE", "-o", "out"),
    "page --preset": ("page", "-o", "out", "--preset", "FILE"),
    "page --pyodide": ("page", "-o", "out", "--pyodide", "FILE"),
    "status --token-file": ("status", *POOL, "--token-file", "FILE"),
    "status --record": ("status", *POOL, "--record", "FILE"),
    "status plot file": ("status", "plot", "FILE", "-o", "out.svg"),
    "status why --job-ad": ("status", "why", "--job-ad", "FILE", *POOL),
    "status why --token-file": ("status", "why", "1", "--token-file", "FILE", *POOL),
    "apply plan": ("apply", "FILE", *SSH),
    "apply --key": ("apply", "plan.json", *SSH, "--key", "FILE"),
    "apply --host-key": ("apply", "plan.json", *SSH, "--host-key", "FILE"),
}
# Of these, something else is refused first: they need an image with its manifest, or a plan.
NOT_REACHED = (
    "bake --passphrase-file",
    "describe --vulnerabilities",
    "sign --key",
    "sign --passphrase-file",
    "publish --require-signature",
    "rebuild --apt-source",
    "token fetch --user-token-file",
    "apply --key",
    "apply --host-key",
)
# These are written, or are read as another one in READ by the same function.
WRITTEN = ("-o", "--output", "--iso")
SAME = ("remove", "fleet")


def takes_files() -> Iterator[str]:
    """Yield each option and argument of worker-bakery that a shell completes with files."""
    waiting: list[argparse.ArgumentParser] = [program.tree()]
    while waiting:
        parser = waiting.pop()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += action.choices.values()
            elif getattr(action, "completed_by", "") in ("file", "toml"):
                name = action.option_strings[-1] if action.option_strings else action.dest
                yield f"{parser.prog} {name}".removeprefix("worker-bakery ")


def test_every_option_that_names_a_file_is_tried() -> None:
    found = {one for one in takes_files() if one.split()[-1] not in WRITTEN and one.split()[0] not in SAME}
    assert found == READ.keys()


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail if the body takes longer, also in a call of the system that does not return."""

    def fail(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(named_file, "_NO_WRITER", 0.1)
    (tmp_path / "token").write_text("x")
    (tmp_path / "plan.json").write_text("{}")
    return tmp_path


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_without_a_writer_and_a_device_are_refused(
    here: Path, name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = "/dev/zero" if kind == "device" else "a.toml"
    if kind == "pipe":
        os.mkfifo(here / file)
    with at_most(LIMIT):
        try:
            code = commands.main([word.replace("FILE", file) for word in READ[name]])
        except SystemExit as ended:
            code = int(ended.code or 0)
    printed = capsys.readouterr()
    assert code not in (0, None)
    assert "error: " in printed.err and "Traceback" not in printed.err
    assert file in printed.err or name in NOT_REACHED, printed.err


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize(
    "read",
    [
        lambda path: list(vulnerabilities.read(path)),
        minisign_keys.public_key,
        ssh._private_key,
        host_keys._text,
        signature.read,
        lambda path: apt_source.read([path]),
    ],
)
def test_so_do_the_functions_that_read_what_needs_an_image_first(
    here: Path, read: Callable[[Path], object], kind: str
) -> None:
    file = Path("/dev/zero" if kind == "device" else here / "pipe")
    if kind == "pipe":
        os.mkfifo(file)
    with at_most(LIMIT), pytest.raises(BadInput, match=f"{file} is a {kind}"):
        read(file)


def test_a_pipe_with_a_writer_is_read_to_its_end(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the program opens it later than this one, or ends without a text."""
    monkeypatch.setattr(named_file, "_NO_WRITER", LIMIT)
    os.mkfifo(here / "pipe")
    for text in (b"x" * 300_000, b""):
        writer = threading.Thread(target=lambda data=text: (here / "pipe").write_bytes(data))
        writer.start()
        with at_most(LIMIT):
            assert named_file.content(here / "pipe") == text
        writer.join()


def test_a_pipe_of_the_shell_is_read(here: Path) -> None:
    """As <(pass token) is: without a path, and perhaps empty."""
    for text in (b"eyJ", b""):
        reading, writing = os.pipe()
        os.write(writing, text)
        os.close(writing)
        assert named_file.content(Path(f"/dev/fd/{reading}")) == text
        os.close(reading)


def test_a_huge_file_is_not_read(here: Path) -> None:
    with (here / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BadInput, match="huge is larger than 16777216 bytes"):
        named_file.content(here / "huge")
    assert named_file.content(Path(os.devnull)) == b""
