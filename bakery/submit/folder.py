"""Write the folder of a DAG: its description, the scripts, and the inputs of each node."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from bakery.submit import description, images
from bakery.submit.description import DAG, JOB_SCRIPT, NODES, POST_SCRIPT, SUBMIT, SubmitOptions
from bakery.submit.images import JobImage
from provisioner.errors import BadInput

_SCRIPTS = Path(__file__).parent / "job"


def write(folder: Path, wanted: Sequence[JobImage], options: SubmitOptions) -> None:
    """Write the DAG of these images into a new folder, which only its owner can read.

    A folder that cannot be completed is removed. Raises BadInput.
    """
    images.check(wanted)
    description.check(options)
    texts = {
        DAG: description.dag(wanted, options.retries),
        SUBMIT: description.submit_description(options),
    }
    _make(folder)
    try:
        for name, text in texts.items():
            (folder / name).write_text(text)
        for name in (JOB_SCRIPT, POST_SCRIPT):
            shutil.copyfile(_SCRIPTS / name, folder / name)
            (folder / name).chmod(0o755)
        for image in wanted:
            _write_node(folder / NODES / image.node, image, options)
    except BaseException:
        shutil.rmtree(folder)
        raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise BadInput(
            f"{folder} exists.",
            "Choose another folder. To bake again what has failed in it, run "
            f"condor_submit_dag {DAG} there.",
        ) from None
    except OSError as error:
        raise BadInput(f"Cannot create {folder}: {error.strerror}.") from None


def _write_node(folder: Path, image: JobImage, options: SubmitOptions) -> None:
    folder.mkdir(parents=True)
    (folder / "arguments").write_text(description.arguments(image, options.program))
    (folder / "collect").write_text(description.collect(image))
    with tarfile.open(folder / "inputs.tar", "w", dereference=True) as tar:
        for path, source in sorted(image.files.items()):
            if isinstance(source, bytes):
                _add_file(tar, path, source)
            else:
                tar.add(source, path, filter=_nobody_s)


def _add_file(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    tar.addfile(member, io.BytesIO(data))


def _nobody_s(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
