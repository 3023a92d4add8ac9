"""cloud-init and the shells of a worker, asked what they do with user-data."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bakery.machines.layer import layer
from provisioner.process.run import sandbox_argv

SERVER = Path(__file__).parent / "userdata_servers" / "effect.py"
SANDBOX = """
mount -t proc proc "$0/proc"; mount -t tmpfs tmpfs "$0/run"; mount -t tmpfs tmpfs "$0/tmp"
mount -t tmpfs tmpfs "$0/dev"; mknod -m 666 "$0/dev/null" c 1 3; mknod -m 666 "$0/dev/urandom" c 1 9
ln -s /proc/self/fd "$0/dev/fd"; ln -s fd/0 "$0/dev/stdin"; ln -s fd/1 "$0/dev/stdout"
exec chroot "$0" python3 -B /root/effect.py
"""
# As systemd gives it to cloud-init's units.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Judge:
    """cloud-init in a worker's root, asked by lines of JSON."""

    def __init__(self, root: Path, log: Path) -> None:
        (root / "root" / "effect.py").write_text(SERVER.read_text())
        self._log = log
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                sandbox_argv(["sh", "-ec", SANDBOX, str(root)], private_network=True),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=ENVIRONMENT,
            )

    def ask(self, **asked: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text()[-3000:]
        return json.loads(answer)

    def end(self) -> None:
        self._process.communicate()


@contextmanager
def judging(image_root: Path, folder: Path) -> Iterator[Judge]:
    """A judge in a root of its own, in memory over the image."""
    with layer(image_root, folder) as root:
        made = Judge(root, folder / "log")
        try:
            yield made
        finally:
            made.end()
