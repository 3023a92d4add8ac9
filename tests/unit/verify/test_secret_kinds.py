"""What is a secret, what is not, and in which bytes it is found."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest

from bakery.verify.secrets import kinds, scan, search
from bakery.verify.secrets.files import Searched, search_files
from bakery.verify.secrets.packages import Packages
from bakery.verify.secrets.public import PUBLIC_SECRETS
from bakery.verify.secrets.scan import Finding, Result
from provisioner.errors import NotProven
from tests import secrets_of_tests as made

EXAMPLES = made.examples()
CASES = [(name, number) for name, texts in EXAMPLES.items() for number in range(len(texts))]


def names(data: bytes) -> set[str]:
    return {found.kind.name for found in search.search(data)}


def test_there_is_an_example_of_each_kind() -> None:
    assert set(EXAMPLES) == {kind.name for kind in kinds.KINDS}


@pytest.mark.parametrize(("name", "number"), CASES)
def test_an_example_is_found_at_the_start_the_end_and_between_other_bytes(name: str, number: int) -> None:
    text = EXAMPLES[name][number]
    for before, after in ((b"", b""), (b"\0" * 100, b"\0" * 100), (b"user = x\n", b"\n\xff\xfe")):
        assert name in names(before + text + after), (before, after)


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0-----BEGIN RSA PRIVATE KEY-----\0%s\n",
        b"-----BEGIN PRIVATE KEY-----\nMIIE...\n-----END PRIVATE KEY-----\n",
        made.pem().replace(b"PRIVATE KEY", b"PUBLIC KEY"),
        b"eyJhbGciOi",
        b"root:*:19000:0:99999:7:::\ndaemon:!:19000::::::\nx:!$6$:1\n",
        b"echo $1$2 $5$6 ${7}$y$",
        b"aws_secret_access_key = <your secret access key, of 40 characters>\n",
        b"AKIA, XAKIAIOSFODNN7EXAMPLEX0000",
        b"export OS_PASSWORD=$OS_PASSWORD_INPUT\nOS_PASSWORD={{ password }}\nOS_PASSWORD=\n",
        b"application_credential_secret: ${SECRET}\n",
        b"export AZURE_CLIENT_SECRET=$1\n",
        b'{"type": "service_account"}',
        b'CVMFS_HTTP_PROXY="http://squid.example.org:3128"\n',
        b"http_proxy=$http_proxy\nproxy=_none_\nproxy: false\nAcquire::http::Proxy \"DIRECT\";",
        b"a virtual machine and its login and its password\n",
        b"ssh-rsa AAAA...",
        b"AccountKey=...",
    ],
)  # fmt: skip
def test_what_is_not_a_secret_is_not_found(text: bytes) -> None:
    assert names(text) == set()


def test_the_anchors_are_as_many_as_the_library_searches_quickly() -> None:
    """It compares many bytes at once for up to 64 patterns: with 65, a search takes eight times as long."""
    anchors = [anchor for anchor, _ in kinds.anchors()]
    assert len(anchors) <= 64
    # A match hides anchors that begin inside of it.
    assert [(a, b) for a in anchors for b in anchors if a != b and a in b] == []


@pytest.mark.parametrize("at", [-700, -300, -3, 0, 1, 500])
def test_a_secret_at_a_boundary_of_chunks_is_found_once(at: int, tmp_path: Path) -> None:
    key, token = made.rsa_key(), made.token()
    path = tmp_path / "disk.raw"
    with path.open("wb") as disk:
        for number, text in enumerate((key, token), start=1):
            disk.seek(number * search.CHUNK + at)
            disk.write(text + b"\n")
        disk.truncate(4 * search.CHUNK)
    with path.open("rb") as opened:
        found = list(search.search_file(opened.fileno()))
    assert [(each.start, each.secret.strip()) for each in found] == [
        (number * search.CHUNK + at, text.strip()) for number, text in enumerate((key, token), start=1)
    ]


def test_holes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    with path.open("wb") as disk:
        disk.truncate(1 << 40)
        disk.seek(1 << 39)
        disk.write(made.token())
    with path.open("rb") as opened:
        (found,) = search.search_file(opened.fileno())
        assert sum(end - start for start, end in search.data_ranges(opened.fileno(), 1 << 40)) < 1 << 20
    assert found.start == 1 << 39


def test_no_message_shows_a_secret() -> None:
    token = made.token()
    (found,) = search.search(token)
    assert token.decode() not in repr(found)
    result = Result((Finding(found.kind.name, "/etc/x", len(found.secret)),), 1, 1)
    with pytest.raises(NotProven) as caught:
        result.check()
    assert f"a token (JWT) of {len(token)} bytes: /etc/x" in str(caught.value)
    assert token.decode() not in str(caught.value)


def test_many_findings_are_cut() -> None:
    with pytest.raises(NotProven, match="and 10 more\n"):
        Result((Finding("a token", "/etc/x", 1),) * 50, 1, 1).check()


# --- files --------------------------------------------------------------------------------------


def test_each_of_many_files_is_searched_once_and_closed(tmp_path: Path) -> None:
    """Files are opened some ahead of the search; one with two names has one finding."""
    root, secret = tmp_path / "root", EXAMPLES["a token (JWT)"][0]
    for number in range(300):
        folder = root / str(number % 7)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(secret if number % 3 else b"")
    (root / "other-name").hardlink_to(root / "1/1")
    before, searched = len(list(Path("/proc/self/fd").iterdir())), Searched()
    found = [each.path for each in search_files(root, searched)]
    assert (len(found), len(set(found)), searched.files) == (200, 200, 300)
    for _ in search_files(root, Searched()):
        break  # as after an error
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- decisions ---------------------------------------------------------------------------------


def root_with(tmp_path: Path, path: str, content: bytes, owned: bool = True) -> Path:
    """A root directory with a file, which a package of dpkg owns."""
    root = tmp_path / "root"
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)
    digest = hashlib.md5(content).hexdigest()
    (info / "examples.md5sums").write_text(f"{digest}  {path}\n" if owned else "")
    return root


def scanned(root: Path, tmp_path: Path, raw: bytes = b"") -> list[str]:
    (tmp_path / "disk.raw").write_bytes(raw)
    return [str(finding) for finding in scan.scan(root, tmp_path / "disk.raw").findings]


def test_a_secret_in_an_unmodified_file_of_a_package_is_public_and_so_are_its_copies(
    tmp_path: Path,
) -> None:
    key = made.rsa_key()
    root = root_with(tmp_path, "usr/share/doc/examples/key.pem", key)
    (root / "usr/lib/__pycache__").mkdir(parents=True)
    (root / "usr/lib/__pycache__/test.pyc").write_bytes(b"\0" + key + b"\0")
    (root / "usr/lib/source.c").write_bytes(b'"' + key.replace(b"\n", b'\\n"\n"') + b'"')
    assert scanned(root, tmp_path, bytes(5000) + key) == []
    (root / "usr/share/doc/examples/key.pem").write_bytes(key + b"# modified\n")
    found = scanned(root, tmp_path, bytes(5000) + key)
    assert {row.partition(": ")[2] for row in found} == {
        "/usr/share/doc/examples/key.pem",
        "/usr/lib/__pycache__/test.pyc",
        "/usr/lib/source.c",
    }


def test_a_secret_of_no_package_is_found_by_path_or_by_offset(tmp_path: Path) -> None:
    mine, deleted = made.token(), made.token()
    root = root_with(tmp_path, "etc/any-name", mine, owned=False)
    raw = mine + bytes(5000) + deleted
    assert scanned(root, tmp_path, raw) == [
        f"a token (JWT) of {len(mine)} bytes: /etc/any-name",
        f"a token (JWT) of {len(deleted)} bytes: "
        f"byte offset {len(mine) + 5000} of the raw disk, in no file",
    ]


def test_a_secret_that_continues_in_another_place_of_the_disk_is_that_of_its_file(tmp_path: Path) -> None:
    key = made.rsa_key()
    root = root_with(tmp_path, "usr/share/doc/examples/key.pem", key)
    raw = bytearray(4096 * 4)
    raw[4096 - 500 : 4096] = key[:500]
    raw[4096 : 4096 + 100] = made.random(100).encode()
    raw[3 * 4096 : 3 * 4096 + len(key) - 500] = key[500:]
    assert scanned(root, tmp_path, bytes(raw)) == []


def test_attributes_and_targets_of_links_are_searched(tmp_path: Path) -> None:
    root = root_with(tmp_path, "etc/file", b"")
    in_link, in_attribute = made.token(), made.token()
    (root / "etc/link").symlink_to(in_link.decode())
    os.setxattr(root / "etc/file", "user.note", in_attribute)
    found = scanned(root, tmp_path)
    assert found == [
        f"a token (JWT) of {len(in_attribute)} bytes: /etc/file (extended attribute user.note)",
        f"a token (JWT) of {len(in_link)} bytes: /etc/link",
    ]


def test_a_file_of_the_definition_may_have_keys_of_ssh_and_proxies_but_no_secret(tmp_path: Path) -> None:
    settings = b"http_proxy=http://10.0.0.1:3128\n" + made.public_key() + b"\n"
    root = root_with(tmp_path, "etc/site", b"", owned=False)
    definition = root / "usr/lib/worker-bakery/definition.json"
    definition.parent.mkdir(parents=True)

    def found(content: bytes, listed: bytes) -> set[str]:
        (root / "etc/site").write_bytes(content)
        definition.write_text(json.dumps({"files": {"/etc/site": hashlib.sha256(listed).hexdigest()}}))
        return {row.rpartition(" of ")[0] for row in scanned(root, tmp_path, content)}

    assert found(settings, settings) == set()
    assert found(settings + b"\n", settings) == {"a proxy of the build host", "a public key of ssh"}
    key = made.pem()
    assert found(settings + key, settings + key) == {"a private key"}


@pytest.mark.parametrize("known", PUBLIC_SECRETS, ids=[known.reason for known in PUBLIC_SECRETS])
def test_an_exception_has_a_reason_and_is_not_found(known: object, tmp_path: Path) -> None:
    example = b"aws_access_key_id = AKIAIOSFODNN7EXAMPLE\n"
    assert names(example) == {"an AWS access key"}
    assert scanned(root_with(tmp_path, "etc/aws", example, owned=False), tmp_path, example) == []


def test_packages_of_dpkg_and_pip_own_unmodified_files_only(tmp_path: Path) -> None:
    root = root_with(tmp_path, "lib/systemd/x", b"content")
    (root / "usr").mkdir()
    (root / "lib").rename(root / "usr/lib")
    (root / "lib").symlink_to("usr/lib")
    (root / "etc").mkdir()
    (root / "etc/conf").write_bytes(b"conf")
    status = f"Package: a\nConffiles:\n /etc/conf {hashlib.md5(b'conf').hexdigest()}\nDescription: b\n /c\n"
    (root / "var/lib/dpkg/status").write_text(status)
    site = root / "opt/venv/lib/python3/site-packages"
    (site / "p-1.dist-info").mkdir(parents=True)
    (site / "p.py").write_bytes(b"key")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"key").digest()).rstrip(b"=").decode()
    (site / "p-1.dist-info/RECORD").write_text(f"p.py,sha256={digest},3\np-1.dist-info/RECORD,,\n")
    owned = (b"/usr/lib/systemd/x", b"/etc/conf", b"/opt/venv/lib/python3/site-packages/p.py")
    assert [Packages(root).has(path) for path in owned] == [True] * 3
    for path in owned:
        (root / path.decode()[1:]).write_bytes(b"another content")
    assert [Packages(root).has(path) for path in owned] == [False] * 3
    assert not Packages(root).has(b"/etc/other")
