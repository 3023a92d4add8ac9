"""Downloads from servers that cut, stall, redirect or serve wrong files: the right file or an error."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bakery.sources.download import Limits, PinnedFile, candidate_urls, fetch
from provisioner.errors import BadInput, Unreachable, WrongChecksum
from provisioner.events import Event
from tests.conftest import BIN, VENDOR, Ended, command
from tests.integration.origin import (
    Behaviour,
    Origin,
    Request,
    cut_after,
    says,
    send,
    serving,
    stall_after,
    whole,
    without_ranges,
)

CONTENT = random.Random(1).randbytes(5 << 20)
OTHER = random.Random(2).randbytes(5 << 20)
THIRD = 2 << 20
QUICK = Limits(connect=20, silence=30.0, unanswered=3.0, failures=3, pause=0.02)
IMPATIENT = replace(QUICK, silence=2.0, failures=1)


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def progress(self) -> list[tuple[int, int | None]]:
        return [(event["done"], event["total"]) for event in self.events if event["event"] == "progress"]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "x.part"


def origin(servers: ExitStack, *plan: Behaviour, content: bytes = CONTENT, tag: str = '"one"') -> Origin:
    return servers.enter_context(serving(Origin(content, list(plan), tag)))


def pinned(*origins: Origin, content: bytes = CONTENT) -> PinnedFile:
    return PinnedFile(tuple(each.url for each in origins), hashlib.sha256(content).hexdigest())


def download(
    part: Path, *origins: Origin, recorder: Recorder | None = None, limits: Limits = QUICK
) -> bool:
    fetch(pinned(*origins), part, recorder or Recorder(), limits)
    return part.read_bytes() == CONTENT


# --- successful downloads ----------------------------------------------------------------


def test_complete_download_with_progress(servers: ExitStack, part: Path) -> None:
    recorder, server = Recorder(), origin(servers, whole)
    assert download(part, server, recorder=recorder)
    reported = recorder.progress()
    assert reported[-1] == (len(CONTENT), len(CONTENT))
    assert sorted(reported) == reported
    assert server.seen[0]["user-agent"].startswith("worker-bakery/")
    assert server.seen[0]["accept-encoding"] == "identity"


def test_interrupted_download_is_resumed(servers: ExitStack, part: Path) -> None:
    recorder, server = Recorder(), origin(servers, cut_after(THIRD), cut_after(THIRD), whole)
    assert download(part, server, recorder=recorder)
    assert server.ranges() == ["", f"bytes={THIRD}-", f"bytes={2 * THIRD}-"]
    assert [headers.get("if-range") for headers in server.seen] == [None, '"one"', '"one"']
    assert {total for _, total in recorder.progress()} == {len(CONTENT)}
    assert sorted(recorder.progress()) == recorder.progress()


def test_stalled_server_is_retried(servers: ExitStack, part: Path) -> None:
    server = origin(servers, stall_after(THIRD), whole)
    assert download(part, server, limits=IMPATIENT)
    assert server.ranges() == ["", f"bytes={THIRD}-"]


def test_partial_file_of_an_earlier_process_is_resumed(servers: ExitStack, part: Path) -> None:
    server = origin(servers, cut_after(THIRD), says(404))
    with pytest.raises(Unreachable):
        download(part, server)
    assert part.read_bytes() == CONTENT[:THIRD]
    server.plan = [whole]
    assert download(part, server)
    assert server.ranges()[-1] == f"bytes={THIRD}-"


def test_complete_file_is_not_downloaded_again(servers: ExitStack, part: Path) -> None:
    server = origin(servers, whole)
    assert download(part, server)
    assert download(part, server)
    assert server.ranges()[-1] == f"bytes={len(CONTENT)}-"


def test_server_without_ranges_restarts_the_download(servers: ExitStack, part: Path) -> None:
    recorder, server = Recorder(), origin(servers, cut_after(THIRD), without_ranges)
    assert download(part, server, recorder=recorder)
    assert recorder.progress()[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_temporary_errors_are_retried(status: int, servers: ExitStack, part: Path) -> None:
    assert download(part, origin(servers, says(status), says(status, Retry_After=0), whole))


def test_redirect_keeps_the_range(servers: ExitStack, part: Path) -> None:
    end = origin(servers, cut_after(THIRD), whole)
    server = origin(servers, says(302, Location=end.url))
    assert download(part, server)
    assert end.ranges() == ["", f"bytes={THIRD}-"]


def test_too_large_content_length(servers: ExitStack, part: Path) -> None:
    def lies(request: Request) -> None:
        send(request, CONTENT, length=len(CONTENT) - request.start() + 1000)

    server = origin(servers, lies)
    assert download(part, server)
    assert server.ranges()[:2] == ["", f"bytes={len(CONTENT)}-"]


def test_too_large_content_length_without_ranges(servers: ExitStack, part: Path) -> None:
    def lies(request: Request) -> None:
        request.head(200, {"Content-Length": len(CONTENT) + 1000})
        request.wfile.write(CONTENT)

    assert download(part, origin(servers, lies))


def test_wrong_content_range_is_not_appended(servers: ExitStack, part: Path) -> None:
    def elsewhere(request: Request) -> None:
        send(request, CONTENT, at=request.start() + 1)

    server = origin(servers, cut_after(THIRD), elsewhere, whole)
    assert download(part, server)
    assert server.ranges() == ["", f"bytes={THIRD}-", ""]


def test_changed_etag_restarts_the_download(servers: ExitStack, part: Path) -> None:
    """The server replaces the file after the first third and changes its ETag."""
    server = origin(servers, cut_after(THIRD), says(404), content=OTHER)
    with pytest.raises(Unreachable):
        download(part, server)
    server.content, server.tag, server.plan = CONTENT, '"two"', [whole]
    assert download(part, server)


def test_changed_file_without_etag_is_detected_by_the_digest(servers: ExitStack, part: Path) -> None:
    """Without an ETag the pieces are joined; the digest differs, and the download restarts."""
    part.parent.mkdir(parents=True)
    part.write_bytes(OTHER[:THIRD])
    recorder, server = Recorder(), origin(servers, whole, tag="")
    assert download(part, server, recorder=recorder)
    assert server.ranges() == [f"bytes={THIRD}-", ""]
    assert any("again from the start" in event.get("text", "") for event in recorder.events)


def test_file_replaced_between_attempts_is_detected(servers: ExitStack, part: Path) -> None:
    def replaced(request: Request) -> None:
        request.origin.content = CONTENT
        whole(request)

    server = origin(servers, cut_after(THIRD), replaced, content=OTHER, tag="")
    assert download(part, server)
    assert server.ranges() == ["", f"bytes={THIRD}-", ""]


def test_next_mirror_resumes_the_download(servers: ExitStack, part: Path) -> None:
    first, second = origin(servers, cut_after(THIRD), says(404)), origin(servers, whole, tag='"2nd"')
    assert download(part, first, second)
    assert second.ranges() == [f"bytes={THIRD}-"]


def test_mirror_with_a_wrong_file_is_skipped(servers: ExitStack, part: Path) -> None:
    assert download(part, origin(servers, whole, content=OTHER), origin(servers, whole))
    assert part.with_suffix(".damaged").read_bytes() == OTHER


# --- errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404, 410])
def test_permanent_errors_are_not_retried(status: int, servers: ExitStack, part: Path) -> None:
    server = origin(servers, says(status))
    with pytest.raises(Unreachable, match=str(status)):
        download(part, server)
    assert len(server.seen) == 1


@pytest.mark.parametrize("behave", [says(503), cut_after(0), stall_after(0)])
def test_failing_server_is_given_up(behave: Behaviour, servers: ExitStack, part: Path) -> None:
    server = origin(servers, behave)
    with pytest.raises(Unreachable, match=server.url):
        download(part, server, limits=IMPATIENT)
    assert len(server.seen) == IMPATIENT.failures + 1


def test_connection_refused(part: Path) -> None:
    url = "http://127.0.0.1:9/image.qcow2"
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9.*refused"):
        fetch(PinnedFile((url,), "ab" * 32), part, Recorder(), QUICK)


def test_endless_redirects(servers: ExitStack, part: Path) -> None:
    server = origin(servers, whole)
    server.plan = [says(302, Location=server.url)]
    with pytest.raises(Unreachable, match="redirects"):
        download(part, server)


@pytest.mark.parametrize(
    "behave",
    [
        whole,
        without_ranges,
        lambda request: send(request, OTHER, length=THIRD),
        lambda request: send(request, b"<html>Sign in</html>"),
    ],
    ids=["another file", "no ranges", "a length that is too small", "a page"],
)
def test_wrong_file_is_renamed_and_not_used(behave: Behaviour, servers: ExitStack, part: Path) -> None:
    server = origin(servers, behave, content=OTHER)
    with pytest.raises(WrongChecksum, match="renamed to"):
        download(part, server)
    assert not part.exists()
    assert part.with_suffix(".damaged").exists()
    assert len(server.seen) == 1


def certificate(folder: Path) -> Path:
    """Return a self-signed certificate with its key."""
    key, made = folder / "key.pem", folder / "made.pem"
    asked = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    asked += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run(asked, check=True, capture_output=True)
    made.write_text(made.read_text() + key.read_text())
    return made


def test_untrusted_certificate(
    tmp_path: Path, servers: ExitStack, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path)
    server = servers.enter_context(serving(Origin(CONTENT, [whole]), pem))
    with pytest.raises(Unreachable, match="certificate") as caught:
        download(part, server)
    assert "SSL_CERT_FILE" in caught.value.hint
    assert server.seen == []
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert download(part, server)


# --- proxies -----------------------------------------------------------------------------------


def test_proxy_variables(servers: ExitStack, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = origin(servers, whole), origin(servers, whole, content=OTHER)
    address = proxy.url.removeprefix("http://").partition("/")[0]
    monkeypatch.setenv("http_proxy", f"http://somebody:s3cret@{address}")
    monkeypatch.setenv("no_proxy", "")
    assert download(part, server)
    assert proxy.lines == [f"GET {server.url} HTTP/1.1"]
    assert proxy.seen[0]["proxy-authorization"].startswith("Basic ")
    assert server.seen == []


def test_no_proxy_variable(servers: ExitStack, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert download(part, origin(servers, whole))


def test_proxy_password_is_in_no_message(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://somebody:s3cret@127.0.0.1:9")
    with pytest.raises(Unreachable) as caught:
        fetch(PinnedFile(("http://vendor.invalid/x",), "ab" * 32), part, Recorder(), QUICK)
    assert "s3cret" not in str(caught.value)


def test_unsupported_proxy(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "gopher://127.0.0.1")
    with pytest.raises(BadInput, match="proxy"):
        fetch(PinnedFile(("http://vendor.invalid/x",), "ab" * 32), part, Recorder(), QUICK)


# --- bake-image -----------------------------------------------------------

# A raw disk with an empty partition table: a bake fails right after the download.
EMPTY = bytes(510) + b"\x55\xaa" + CONTENT[: 3 << 20]


def vendor(tmp_path: Path, url: str, content: bytes = EMPTY) -> tuple[str, str]:
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "mine.toml").write_text(VENDOR.format(url=url, digest=digest))
    return ("--base", str(tmp_path / "mine.toml"))


def bake(tmp_path: Path, *argv: str, **env: str) -> Ended:
    env = {"WORKER_BAKERY_CACHE": str(tmp_path / "cache"), "no_proxy": "127.0.0.1", **env}
    return command("bake-image", "--verify", "none", *argv, env=env)


def test_bake_resumes_the_download_of_a_killed_bake(tmp_path: Path, servers: ExitStack) -> None:
    server = origin(servers, stall_after(1 << 20), whole, content=EMPTY)
    argv = [str(BIN / "bake-image"), "--json", "--verify", "none", *vendor(tmp_path, server.url)]
    env = {**os.environ, "WORKER_BAKERY_CACHE": str(tmp_path / "cache"), "no_proxy": "127.0.0.1"}
    process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True)
    parts, end = tmp_path / "cache" / "downloads", time.monotonic() + 240
    while sum(part.stat().st_size for part in parts.glob("*.part")) < 1 << 20:
        assert time.monotonic() < end, "nothing arrived"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = bake(tmp_path, "--json", *vendor(tmp_path, server.url))
    assert "no Linux root partition" in done.err
    assert server.ranges() == ["", f"bytes={1 << 20}-"]
    assert list(parts.iterdir()) == []
    reported = [event for event in map(json.loads, done.err.splitlines()) if event["event"] == "progress"]
    assert (reported[-1]["done"], reported[-1]["total"]) == (len(EMPTY), len(EMPTY))


def test_concurrent_bakes_share_one_download(tmp_path: Path, servers: ExitStack) -> None:
    server = origin(servers, whole, content=EMPTY)
    argv = [str(BIN / "bake-image"), "--verify", "none", *vendor(tmp_path, server.url)]
    env = {**os.environ, "WORKER_BAKERY_CACHE": str(tmp_path / "cache"), "no_proxy": "127.0.0.1"}
    both = [subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [2, 2]
    assert len(server.seen) == 1
    done = bake(tmp_path, "--offline", *vendor(tmp_path, server.url))
    assert (done.status, "no Linux root partition" in done.err) == (2, True), done.err
    assert len(server.seen) == 1


def test_offline_sends_no_request(tmp_path: Path, servers: ExitStack) -> None:
    server = origin(servers, whole, content=EMPTY)
    done = bake(tmp_path, "--offline", *vendor(tmp_path, server.url))
    assert done.status == 5
    for text in (server.url, str(tmp_path / "cache"), "--base-image FILE --family debian"):
        assert text in done.err
    assert server.seen == []


def test_base_urls_precede_the_vendor_s_url(tmp_path: Path, servers: ExitStack) -> None:
    first, second = origin(servers, says(404)), origin(servers, whole, content=EMPTY)
    folder = second.url.rpartition("/")[0] + "/"
    given = ("--base-url", first.url, "--base-url", folder)
    done = bake(tmp_path, *given, *vendor(tmp_path, "http://127.0.0.1:9/image.qcow2"))
    assert "no Linux root partition" in done.err
    assert (len(first.seen), len(second.seen)) == (1, 1)


def test_wrong_digest_stops_the_bake(tmp_path: Path, servers: ExitStack) -> None:
    server = origin(servers, whole, content=OTHER)
    done = bake(tmp_path, *vendor(tmp_path, server.url))
    assert (done.status, "renamed to" in done.err) == (7, True), done.err
    assert not (tmp_path / "cache" / "bases").exists()
    listed = command(
        "worker-bakery", "cache", "prune", env={"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    )
    assert (listed.status, list((tmp_path / "cache" / "downloads").iterdir())) == (0, [])


def test_centos7_without_network(tmp_path: Path) -> None:
    """The proxy refuses connections, as without network."""
    started = time.monotonic()
    shut = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = bake(tmp_path, "--base", "centos7", no_proxy="", NO_PROXY="", **shut)
    assert time.monotonic() - started < 120  # retries after temporary errors would take longer
    assert done.status == 5
    url = "https://cloud.centos.org/centos/7/images/CentOS-7-x86_64-GenericCloud-2211.qcow2"
    for text in (
        "2024-06-30",
        "almalinux9",
        url,
        str(tmp_path / "cache"),
        "--base-image FILE --family el7",
    ):
        assert text in done.err


# --- local files -----------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own disk.raw").write_bytes(EMPTY)
    return tmp_path / "own disk.raw"


def converted(own: Path, kind: str) -> Path:
    made = own.with_suffix(f".{kind}")
    if kind == "qcow2":
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", own, made], check=True)
    if kind == "xz":
        made.write_bytes(lzma.compress(own.read_bytes(), preset=0))
    return made


@pytest.mark.parametrize("kind", ["qcow2", "raw", "xz"])
def test_local_file_in_each_format_is_not_modified(kind: str, own: Path, tmp_path: Path) -> None:
    path = converted(own, kind)
    path.chmod(0o444)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    digest = hashlib.sha256(before[0]).hexdigest()
    argv = ("--base-image", str(path), "--family", "debian", "--sha256", digest.upper(), "--offline")
    done = bake(tmp_path, *argv)
    assert "no Linux root partition" in done.err
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    base = tmp_path / "cache" / "bases" / f"{digest}.qcow2"
    assert base.is_symlink() == (kind == "qcow2")
    with path.open("rb") as plain:
        assert plain.read(1)
    command(
        "worker-bakery", "cache", "prune", "--all", env={"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    )
    assert (base.is_symlink(), base.exists(), path.exists()) == (False, False, True)


def refused(tmp_path: Path, status: int, says: str, *argv: str) -> None:
    done = bake(tmp_path, *argv)
    assert (done.status, says in done.err) == (status, True), done.err


def test_unusable_local_files(own: Path, tmp_path: Path) -> None:
    debian = ("--family", "debian")
    page, layer = tmp_path / "page.html", tmp_path / "layer.qcow2"
    page.write_text("<html>" + " " * 600)
    over = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(own), "-F", "raw", str(layer)]
    subprocess.run(over, check=True)
    refused(tmp_path, 2, "not a disk image", "--base-image", str(page), *debian)
    refused(tmp_path, 2, "is a layer over", "--base-image", str(layer), *debian)
    refused(tmp_path, 7, "has the sha256", "--base-image", str(own), *debian, "--sha256", "ab" * 32)
    refused(tmp_path, 2, "--family el9", "--base-image", str(own))
    refused(tmp_path, 2, "There is no file", "--base-image", str(tmp_path / "no.raw"), *debian)
    refused(tmp_path, 2, "64 hexadecimal", "--base-image", str(own), *debian, "--sha256", "xyz")
    refused(tmp_path, 2, "no family", "--base-image", str(own), "--family", "plan9")
    assert not list((tmp_path / "cache").glob("bases/*"))


def test_candidate_urls() -> None:
    urls = candidate_urls(("http://a/b/", "http://c/d.img"), "https://vendor/e/f.qcow2")
    assert urls == ("http://a/b/f.qcow2", "http://c/d.img", "https://vendor/e/f.qcow2")
