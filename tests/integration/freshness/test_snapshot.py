"""--snapshot: a real bake from a mirror on loopback with the layout of Debian's snapshot archive.

The mirror redirects to this machine's mirror: it has today's packages under the URL of a date.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bakery.runtime.mirror import Mirror
from bakery.runtime.mirror import find as find_mirror
from bakery.store.store import Store, manifest_path
from tests.conftest import BASE, VENDOR, command, mounted

TIMESTAMP = "20251101T000000Z"


class Redirect(BaseHTTPRequestHandler):
    def __init__(self, mirror: Mirror, seen: list[str], *args: object) -> None:
        self.mirror, self.seen = mirror, seen
        super().__init__(*args)  # type: ignore[arg-type]  # socketserver's own three

    def do_GET(self) -> None:
        self.seen.append(self.path)
        _, _, archive, timestamp, *rest = self.path.split("/")
        known = {"debian": self.mirror.main, "debian-security": self.mirror.security}
        found = known.get(archive) if timestamp == TIMESTAMP else None
        self.send_response(302 if found else 404)
        if found:
            self.send_header("Location", "/".join((found, *rest)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def snapshots(seen: list[str]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Redirect, find_mirror(), seen))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/archive/{{archive}}/{{timestamp}}"
    finally:
        server.shutdown()
        server.server_close()


# A whole bake whose packages are all downloaded again.
@pytest.mark.full
def test_an_image_of_a_date(baked: dict[str, Any], store: Store, tmp_path: Path) -> None:
    disk, toml, seen = store.base(BASE.id), tmp_path / "mine.toml", list[str]()
    digest = hashlib.sha256(disk.read_bytes()).hexdigest()
    text = VENDOR.format(url=f"file://{disk}", digest=digest)
    toml.write_text(text.replace('login = "debian"', 'login = "debian"\nrelease = "trixie"'))
    env = {"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    plain = ("--base", str(toml), "--verify", "none", "--engine", "chroot", "--json")
    with snapshots(seen) as url:
        dated = ("--snapshot", "2025-11-01", "--snapshot-mirror", url)
        done = command("bake-image", *plain, *dated, env=env)
        assert done.status == 0, done.err[-3000:]
        # It does not change, so it is not asked.
        found, asked = json.loads(done.out), len(seen)
        again = command("bake-image", *plain, *dated, "--refresh", "auto", env=env)
        assert json.loads(again.out)["from_store"] is True
        assert len(seen) == asked
        assert command("worker-bakery", "outdated", env=env).status == 0
        assert len(seen) > asked
    assert f"/archive/debian/{TIMESTAMP}/dists/trixie/InRelease" in seen
    assert f"/archive/debian-security/{TIMESTAMP}/dists/trixie-security/InRelease" in seen
    undated = json.loads(command("bake-image", "--dry-run", *plain[:2], "--json", env=env).out)
    assert undated["id"] != found["id"]
    image = Path(found["path"])
    lock = json.loads(manifest_path(image).read_text())["lock"]
    assert [one["expires"] for one in lock["repositories"]] == [False] * 3
    (tmp_path / "image").mkdir()
    with mounted(image, tmp_path / "image") as root:
        assert (root / "usr/lib/worker-bakery/snapshot").read_text() == f"{TIMESTAMP}\n"
        assert list((root / "etc/apt/sources.list.d").iterdir()) == []


def test_a_snapshot_requires_a_mirror_a_date_and_debian() -> None:
    for argv, said in (
        (("--snapshot", "2025-11-01"), "--snapshot requires a snapshot mirror"),
        (("--snapshot", "yesterday", "--snapshot-mirror", "http://x/{timestamp}"), "is not a date"),
        (("--snapshot", "2025-11-01", "--snapshot-mirror", "http://x/"), "must contain {timestamp}"),
        (("--snapshot-mirror", "http://x/{timestamp}"), "--snapshot-mirror requires --snapshot"),
        (
            ("--base", "rocky9", "--snapshot", "2025-11-01", "--snapshot-mirror", "http://x/{timestamp}"),
            "applies to Debian only",
        ),
    ):
        done = command("bake-image", "--dry-run", *argv)
        assert (done.status, said in done.err) == (2, True), done.err
