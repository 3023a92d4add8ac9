"""The job hook of the role ospool, without HTCondor and Pelican."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from bakery.runtime import data
from tests.unit.worker.test_language import NEW_ARGUMENTS, NEW_NAMES, TOO_NEW, _imports

SOURCE = data.WORKER / "ospool/usr/libexec/worker-bakery/prepare-job"


def _loaded() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("prepare_job", str(SOURCE))
    spec = importlib.util.spec_from_loader("prepare_job", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


hook = _loaded()


def ad(**attributes: str) -> str:
    return "".join(f"{name} = {value}\n" for name, value in attributes.items())


def test_it_keeps_to_python_3_6_and_runs() -> None:
    tree = ast.parse(SOURCE.read_text("utf-8"), feature_version=(3, 6))
    assert not {name.split(".")[0] for name in _imports(tree)} & TOO_NEW
    assert not NEW_NAMES & {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert not NEW_ARGUMENTS & {n.arg for n in ast.walk(tree) if isinstance(n, ast.keyword)}
    for program in SOURCE.parent.iterdir():
        assert program.stat().st_mode & 0o111, program


@pytest.mark.parametrize(
    "job",
    [
        ad(Cmd='"job.sh"'),
        ad(ContainerImage='"image.sif"', WantSIF="true"),
        ad(ContainerImage='"docker://rocky:9"'),
        ad(SingularityImage="strcat(A, B)"),
        ad(SingularityImage='"./image.sif"'),
        ad(OtherSingularityImage='"/gone"'),
    ],
)
def test_most_jobs_are_left_alone(job: str, tmp_path: Path) -> None:
    assert hook.changes(job, str(tmp_path)) == ""


def test_an_image_of_this_machine_is_the_folder_that_its_name_means_now(tmp_path: Path) -> None:
    (tmp_path / "2026").mkdir()
    (tmp_path / "latest").symlink_to("2026")
    told = hook.changes(ad(SingularityImage=f'"{tmp_path}/latest"'), str(tmp_path))
    assert told == f'SingularityImage = "{tmp_path}/2026"\n'
    told = hook.changes(ad(singularityimage=f'"{tmp_path}"', ContainerImage=f'"{tmp_path}/latest"'), "/")
    assert told == f'ContainerImage = "{tmp_path}/2026"\n'


def test_an_image_that_is_not_here_goes_back_to_the_queue(tmp_path: Path) -> None:
    with pytest.raises(hook.Refused, match=r"/gone.sif: it is not on this machine") as caught:
        hook.changes(ad(SingularityImage='"/gone.sif"'), str(tmp_path))
    assert caught.value.code == hook.REQUEUE >= 300
    with pytest.raises(hook.Refused, match=r"/cvmfs/gone.example.org is not mounted"):
        hook.changes(ad(SingularityImage='"/cvmfs/gone.example.org/a:1"'), str(tmp_path))


def test_strings_of_classads_are_read_and_written_as_they_are() -> None:
    text = 'a "b" \\ c'
    assert hook.value_of("Name", f"Name = {hook.quoted(text)}\n") == text
    assert hook.quoted("a\nb\tc é") == '"a?b?c ?"'


def test_what_the_plugin_complained_of_is_told(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    answer.write_text('[ TransferSuccess = false; TransferError = "no \\"such\\" object"; ]\n')
    assert hook.complaint(str(answer), 1) == 'no "such" object'
    answer.write_text("   ")
    assert hook.complaint(str(answer), 3) == "the plugin ended with status 3"
    assert hook.complaint(str(tmp_path / "gone"), 3) == "the plugin ended with status 3"
