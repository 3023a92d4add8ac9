"""The texts of a DAG, and what they may be made of."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.submit import description, folder, images
from bakery.submit.description import SubmitOptions
from bakery.submit.images import JobImage
from provisioner.errors import BadInput

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "submit"
ONE = JobImage(
    label="osg-debian13",
    output=Path("/images/worker.qcow2"),
    architecture="x86_64",
    arguments=("--worker=osg",),
)
TWO = JobImage(label="el9.4", output=Path("/images/el9.tar"), architecture="aarch64", level="boot")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("two.dag", description.dag([ONE, TWO], 2)),
        ("vanilla.sub", description.submit_description(SubmitOptions())),
        (
            "container.sub",
            description.submit_description(
                SubmitOptions(
                    container="docker://registry.example.org/worker-bakery:1",
                    commands=description.parse_commands(
                        [
                            "requirements = TARGET.HasKVM",
                            "Request_Memory = 8GB",
                            '+ProjectName = "TG-ABC123"',
                        ]
                    ),
                )
            ),
        ),
    ],
)
def test_the_texts(name: str, text: str) -> None:
    assert text == (GOLDEN / name).read_text()


def test_a_program_with_a_path_needs_no_attribute_of_the_node() -> None:
    text = description.submit_description(SubmitOptions(program="/opt/bin/worker-bakery"))
    assert "HasWorkerBakery" not in text
    assert description.arguments(ONE, "/opt/bin/worker-bakery").splitlines()[0] == "/opt/bin/worker-bakery"


def test_what_the_scripts_read_line_by_line() -> None:
    assert description.arguments(TWO, "").splitlines() == ["worker-bakery", "boot", "image.tar"]
    assert description.arguments(ONE, "").splitlines() == [
        "worker-bakery",
        "",
        "image.qcow2",
        "--worker=osg",
    ]
    assert description.collect(ONE).splitlines() == [
        "image.qcow2",
        "/images/worker.qcow2",
        "/images/worker.json",
    ]


@given(st.text(), st.text())
def test_no_text_of_a_user_gets_into_the_dag(label: str, word: str) -> None:
    """A label is either refused, or a word of DAGMan's language; other texts are not in the DAG at all."""
    image = replace(ONE, label=label, arguments=(word,), output=Path("/") / "x.qcow2")
    try:
        images.check([image])
    except BadInput:
        return
    assert description.dag([image], 1) == description.dag([replace(ONE, label="ZZZZ")], 1).replace(
        "ZZZZ", image.node
    )
    lines = description.arguments(image, "").split("\n")
    assert lines[3:] == [word, ""]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1)))
def test_a_submit_command_is_one_line_or_refused(texts: list[str]) -> None:
    try:
        found = description.parse_commands(texts)
    except BadInput:
        return
    text = description.submit_description(SubmitOptions(commands=found))
    before = description.submit_description(SubmitOptions())
    assert len(text.splitlines()) <= len(before.splitlines()) + len(found)
    assert text.endswith("\nqueue\n")
    assert text.lower().count("\nqueue") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("request_memory", "is not KEY = VALUE"),
        ("request_memory =", "is not KEY = VALUE"),
        ("queue 2 = x", "is not KEY = VALUE"),
        ("Executable = /bin/sh", "cannot set Executable"),
        ("transfer_output_remaps = x", "cannot set"),
        ("x = y\\", "backslash"),
        ("x = y\nqueue 5", "one line"),
    ],
)
def test_submit_commands_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        description.parse_commands([text])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SubmitOptions(program="worker-bakery"), "absolute path"),
        (SubmitOptions(program="/opt/with blank"), "not supported"),
        (SubmitOptions(container='docker://x"\nqueue'), "not supported"),
        (SubmitOptions(container="$(x)"), "not supported"),
    ],
)
def test_programs_and_containers_that_are_refused(options: SubmitOptions, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        description.check(options)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (list, "no image"),
        (lambda: [replace(ONE, label="a b")], "cannot be the name"),
        (lambda: [replace(ONE, label="Parent")], "cannot be the name"),
        (lambda: [replace(ONE, arguments=("a\nb",))], "control character"),
        (lambda: [replace(ONE, output=Path("/a\nb.qcow2"))], "control character"),
        (lambda: [replace(ONE, output=Path("a.qcow2"))], "not absolute"),
        (lambda: [replace(ONE, output=Path("/a.json"))], "manifest"),
        (lambda: [replace(ONE, files={"../a": b"text"})], "relative path"),
        (lambda: [replace(ONE, files={"/a": b"text"})], "relative path"),
        (lambda: [replace(ONE, files={"a": Path("/there/is/none")})], "no file"),
        (lambda: [ONE, replace(ONE, output=Path("/b.qcow2"))], "same label"),
        (lambda: [ONE, replace(TWO, output=Path("/images/worker.tar"))], "same output"),
        (lambda: [replace(ONE, label="a.b"), replace(TWO, label="a_b")], "same name"),
    ],
)
def test_images_that_are_refused(wanted: Callable[[], list[JobImage]], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        images.check(wanted())


def test_an_architecture_without_machines() -> None:
    with pytest.raises(BadInput, match="x86-64"):
        description.dag([replace(ONE, architecture="x86-64")], 1)


def test_the_folder_has_the_files_of_each_image(tmp_path: Path) -> None:
    source = tmp_path / "our ca.crt"
    source.write_text("certificate")
    inputs: dict[str, Path | bytes] = {"sub/it's; a=b.crt": source, "definition.toml": b"name = 1\n"}
    folder.write(tmp_path / "x.dag", [replace(ONE, files=inputs), TWO], SubmitOptions())
    assert (tmp_path / "x.dag").stat().st_mode & 0o777 == 0o700
    with tarfile.open(tmp_path / "x.dag/nodes/osg-debian13/inputs.tar") as tar:
        assert sorted(tar.getnames()) == sorted(inputs)
        member = tar.extractfile("sub/it's; a=b.crt")
        assert member and member.read() == b"certificate"
    assert (tmp_path / "x.dag/nodes/el9_4/collect").read_text().splitlines()[1] == "/images/el9.tar"
    with pytest.raises(BadInput, match="exists"):
        folder.write(tmp_path / "x.dag", [ONE], SubmitOptions())


def test_a_folder_that_cannot_be_completed_is_removed(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        folder.write(tmp_path / "x.dag", [replace(ONE, files={"a": _Vanishing(tmp_path)})], SubmitOptions())
    assert not (tmp_path / "x.dag").exists()


class _Vanishing(type(Path())):  # type: ignore[misc]  # the class of paths here
    """A file that is there when it is checked, and cannot be read afterwards."""

    def __fspath__(self) -> str:
        raise IsADirectoryError(str(self))
