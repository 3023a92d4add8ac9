"""What the page stands on, outside of a browser: its archive, npm, and the server on loopback."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE

import pytest

from bakery.page import library, modules, runtime, server
from bakery.runtime.data import PAGE
from bakery.store.store import default_root
from provisioner.errors import BakeryError, MissingHere, Unreachable, WrongChecksum
from tests import pyodide_package
from tests.conftest import BIN
from tests.integration.tool_environments import install_npm
from tests.unit.page.test_page_modules import FORM, ask


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return pyodide_package.small(tmp_path, monkeypatch)


def test_the_archive_is_complete(tmp_path: Path) -> None:
    """A Python without any other package answers from it, as Pyodide does."""
    archive = modules.archive()
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(tmp_path)
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "del os.geteuid, os.getegid, os.fork\n"  # as in Pyodide
        "from bakery.page import answers\n"
        "print(answers.answer(sys.stdin.read()))"
    )
    for question in (
        {
            "ask": "generate",
            "form": {**FORM, "expression": "TARGET.RequestCpus >= 4", "format": "cloud-config"},
        },
        {"ask": "check", "text": "#!/bin/sh\necho\n", "place": "", "trust_domain": ""},
    ):
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, str(tmp_path)],
            input=json.dumps({"now": 1.0, **question}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert "text" in found or "findings" in found, found


def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program in the place of npm; $4 is the folder."""
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_npm_downloads_once(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, monkeypatch, f'echo "$@" >>{tmp_path}/calls; cp {package} "$4/{runtime.NAME}"')
    for _ in range(2):
        assert runtime.package(None, tmp_path / "cache") == package.read_bytes()
    assert (tmp_path / "calls").read_text().count(f"pyodide@{runtime.VERSION}") == 1
    (tmp_path / "cache" / runtime.NAME).write_bytes(b"damaged")
    with pytest.raises(WrongChecksum, match=r"Remove .* if it is damaged"):
        runtime.package(None, tmp_path / "cache")


def test_a_registry_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, monkeypatch, "echo 'npm error code ENOTFOUND' >&2; exit 1")
    with pytest.raises(Unreachable, match=r"ENOTFOUND.*--pyodide"):
        runtime.package(None, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_forged_download_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, monkeypatch, f'echo forged >"$4/{runtime.NAME}"')
    with pytest.raises(WrongChecksum):
        runtime.package(None, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


# --- the server ----------------------------------------------------------------------------------


@pytest.fixture
def served() -> Iterator[ThreadingHTTPServer]:
    files = {"index.html": b"<p>", f"{runtime.FOLDER}/pyodide.asm.wasm": b"\0asm"}
    with server.listening(files, 0) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def asked(
    served: ThreadingHTTPServer, path: str, verb: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(server.HOST, served.server_address[1], timeout=10)
    connection.request(verb, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer, data


def test_the_server_sends_the_page_with_its_policy(served: ThreadingHTTPServer) -> None:
    assert served.server_address[0] == "127.0.0.1"
    answer, data = asked(served, "/?x")
    assert (answer.status, data) == (200, b"<p>")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'; script-src 'self' ")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    again, data = asked(served, "/", If_None_Match=answer.headers["ETag"])
    assert (again.status, data) == (304, b"")
    answer, data = asked(served, f"/{runtime.FOLDER}/pyodide.asm.wasm", "HEAD")
    assert (answer.headers["Content-Type"], data) == ("application/wasm", b"")
    assert "immutable" in answer.headers["Cache-Control"]


def test_the_server_serves_nothing_else(served: ThreadingHTTPServer) -> None:
    for path in ("/etc/passwd", "/../../etc/passwd", "/page.py"):
        assert asked(served, path)[0].status == 404
    assert asked(served, "/", Host="evil.example:80")[0].status == 403
    assert asked(served, "/", "POST")[0].status == 501


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost", "LocalHost:8019"])
def test_the_names_of_this_machine_are_accepted(served: ThreadingHTTPServer, host: str) -> None:
    assert asked(served, "/", Host=host)[0].status == 200


@pytest.mark.parametrize(
    "host", ["", "localhost.evil.example", "evil.example", "localhost:80:80", "127.0.0.1:x"]
)
def test_other_names_of_this_machine_are_refused(served: ThreadingHTTPServer, host: str) -> None:
    assert asked(served, "/", Host=host)[0].status == 403


def test_a_request_that_is_no_path_and_a_browser_that_leaves(
    served: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for request in (b"GET http://[x/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\nHost:"):
        with socket.create_connection((server.HOST, served.server_address[1]), timeout=10) as connection:
            connection.sendall(request)
            if request.endswith(b"\r\n\r\n"):
                assert connection.recv(100).startswith(b"HTTP/1.1 404 ")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert asked(served, "/")[0].status == 200
    assert "Traceback" not in capsys.readouterr().err
    answer, _ = asked(served, "/", "POST")
    assert answer.headers.get_all("Content-Security-Policy") == [server.POLICY]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_with_its_exit_code_and_all_that_it_started(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Also while a browser holds a connection; the next server can have the port at once."""
    install_npm()
    program = [str(BIN / "worker-bakery"), "page", "--serve"]
    told = {**os.environ, "TMPDIR": str(tmp_path)}
    port = "0"
    for _ in range(2):
        with subprocess.Popen(
            [*program, port], env=told, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            port = process.stdout.readline().rpartition(":")[2].strip("/\n")
            with socket.create_connection((server.HOST, int(port)), timeout=60) as browser:
                browser.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert browser.recv(100).startswith(b"HTTP/1.1 200 ")
                process.send_signal(number)
                assert process.wait(60) == 128 + number
            assert process.stderr.read().splitlines() == [
                "note: Open this address in a browser on this machine. Ctrl-C ends it."
            ]
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
        assert list(tmp_path.iterdir()) == []


def test_the_check_reads_what_is_pasted() -> None:
    found = ask("check", text=ask("generate", form=FORM)["text"], place="ec2", trust_domain="")
    assert [row["severity"] for row in found["findings"]] in ([], ["note"])
    found = ask("check", text="#include-me", place="", trust_domain="")
    assert "error" in {row["severity"] for row in found["findings"]}
    found = ask("check", text="#!/bin/sh\n# " + "x" * 40000, place="", trust_domain="")
    [row] = [one for one in found["findings"] if one["id"] == "too-large"]
    assert row["text"].endswith("Choose the cloud.")  # and no option of the command


# --- licenses ------------------------------------------------------------------------------------

# What Pyodide's program contains, by a name in it -> the file of its license.
CONTAINED = {
    b"PyInit__bz2": "bzip2.txt",
    b"PyInit__lzma": "XZ.txt",
    b"PyInit__zstd": "Zstandard.txt",
    b"PyInit__sqlite3": "SQLite.txt",
    b"PyInit__ctypes": "Python.txt",  # libffi
    b"PyInit_pyexpat": "Python.txt",
    b"PyInit_zlib": "Python.txt",
    b"hiwire": "MPL-2.0.txt",
    b"__cxa_throw": "LLVM.txt",
}
# Modules of extension that are linked, but are Python's own.
LINKED = re.compile(rb"PyInit_\w+")


def test_the_licenses_are_those_of_the_pyodide_that_is_shipped() -> None:
    """A new version of Pyodide may contain other software, or another Python."""
    install_npm()
    found = runtime.files(runtime.package(None, default_root() / "pyodide"))
    program = found["pyodide.asm.wasm"]
    assert [name for name in CONTAINED if name not in program] == []
    licenses = PAGE / "licenses"
    assert [name for name in CONTAINED.values() if not (licenses / name).is_file()] == []
    foreign = {b"_ssl", b"_hashlib", b"_curses", b"readline", b"_uuid", b"_gdbm", b"_dbm", b"_tkinter"}
    linked = {one.removeprefix(b"PyInit_") for one in LINKED.findall(program)}
    assert linked & foreign == set()
    python = json.loads(found["pyodide-lock.json"])["info"]["python"].rpartition(".")[0]
    assert f"CPython {python}," in (licenses / "README.txt").read_text("utf-8")


# --- Python's library ----------------------------------------------------------------------------


def test_the_library_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = runtime.files(runtime.package(None, default_root() / "pyodide"))
    compiled = library.compiled(files, tmp_path)
    sources, made = (zipfile.ZipFile(io.BytesIO(data)) for data in (files[runtime.LIBRARY], compiled))
    wanted = {f"{name}c" if name.endswith(".py") else name for name in sources.namelist()}
    assert set(made.namelist()) == {name for name in wanted if not name.endswith("/")}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert library.compiled(files, tmp_path) == compiled
    with pytest.raises(MissingHere, match=r"Node\.js"):
        library.compiled(files, tmp_path / "other")


def test_a_node_that_cannot_run_pyodide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, monkeypatch, "")
    (tmp_path / "bin" / "npm").rename(tmp_path / "bin" / "node")
    (tmp_path / "bin" / "node").write_text("#!/bin/sh\necho 'too old' >&2; exit 1\n")
    with pytest.raises(BakeryError, match=r"could not compile Python's library: too old"):
        library.compiled({"pyodide.mjs": b""}, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
