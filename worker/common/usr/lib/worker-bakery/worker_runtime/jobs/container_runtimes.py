"""`worker runtimes`: tests which programs can run containers for jobs.

HTCondor's startd runs it as user condor. HTCondor itself tests apptainer and advertises HasSingularity.
udocker is tested here, with the image that HTCondor uses for its own test: a program that only exits with
status 37.
"""

import io
import os
import shutil
import sys
import tarfile
import tempfile
from typing import Dict, Optional

from worker_runtime.jobs import health
from worker_runtime.system.classad import printable, quote
from worker_runtime.system.command import run

UDOCKER = "/usr/bin/udocker"
SANDBOX = "/usr/libexec/condor/singularity_test_sandbox"
PROGRAM, EXPECTED = "/exit_37", 37
# Files that every image has. Without them, udocker 1.3.17 fails for a user whose group exists here.
ACCOUNTS = {"./etc/passwd": b"root:x:0:0::/:/bin/sh\n", "./etc/group": b"root:x:0:\n"}
SECONDS = 60  # for each step
_NAME = "worker-test"


class Failed(Exception):
    """Why it does not run, in words."""


def main() -> int:
    """Print the attributes, none if udocker is not installed."""
    if os.path.exists(UDOCKER):
        health.drop_privileges(health.FOLDER)
        sys.stdout.write(format_attributes(problem(health.FOLDER)))
    return 0


def format_attributes(why_not: Optional[str]) -> str:
    """ClassAd attributes, one on each line, with names like HTCondor's own for apptainer."""
    rows = ["HasUdocker = %s" % (why_not is None)]
    if why_not is not None:
        rows.append("UdockerOfflineReason = " + quote(printable(why_not)))
    return "\n".join(rows) + "\n"


def problem(folder: str) -> Optional[str]:
    """Why udocker cannot create a container from an image and run it; None if it can."""
    scratch = tempfile.mkdtemp(prefix="udocker.", dir=folder)
    try:
        run_test_container(scratch)
    except (Failed, OSError) as reason:
        return str(reason)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return None


def run_test_container(scratch: str) -> None:
    """Raises Failed, OSError."""
    image = os.path.join(scratch, "image.tar")
    with tarfile.open(image, "w") as archive:
        archive.add(SANDBOX, arcname=".")
        for name, content in ACCOUNTS.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    env = {"HOME": scratch, "UDOCKER_DIR": scratch + "/repository", "PROOT_TMP_DIR": scratch}
    step(env, 0, "import", image, _NAME + ":1")
    step(env, 0, "create", "--name=" + _NAME, _NAME + ":1")
    step(env, EXPECTED, "run", _NAME, PROGRAM)


def step(env: Dict[str, str], expected: int, *words: str) -> None:
    """Run udocker. Raises Failed if its exit status is not the expected one."""
    done = run([UDOCKER, "--quiet", *words], SECONDS, env=env, merge_stderr=True)
    if done.status != expected:
        last = (done.out or done.err).strip().split("\n")[-1]
        raise Failed("udocker %s: %s" % (words[0], last or "status %d" % done.status))
