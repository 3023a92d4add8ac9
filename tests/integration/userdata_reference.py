"""Run user-data with the cloud-init and the shells of a worker image, as the reference for `--check`."""

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
# The environment that systemd sets for cloud-init's units.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Reference:
    """A process in the root of a worker image that runs user-data; it reads and prints lines of JSON."""

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

    def run(self, **request: Any) -> Any:
        """Send a request (see userdata_servers/effect.py) and return its result."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text()[-3000:]
        return json.loads(answer)

    def end(self) -> None:
        self._process.communicate()


@contextmanager
def reference_in(image_root: Path, folder: Path) -> Iterator[Reference]:
    """Start the reference in an overlay in memory over the image."""
    with layer(image_root, folder) as root:
        reference = Reference(root, folder / "log")
        try:
            yield reference
        finally:
            reference.end()
