"""The metadata of apt and rpm repositories, read from texts. Requests are answered from a table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import pytest

from bakery.freshness.lock import Index, Repository, Seen
from bakery.freshness.metadata import apt, rpm
from bakery.freshness.metadata.addresses import Addresses
from bakery.freshness.metadata.offers import Offer, decompressed
from bakery.sources import http
from bakery.sources.http import Answer
from provisioner.errors import Unreachable, WrongChecksum

DEBIAN = Repository("debian trixie", "apt", "http://x", "trixie", ("main", "contrib"))
RELEASE = """\
Origin: Debian
Label: Debian-Security
Architectures: all amd64 arm64
No-Support-for-Architecture-all: Packages
Acquire-By-Hash: yes
SHA256:
 aaaa 10 main/binary-amd64/Packages
 bbbb 9 main/binary-amd64/Packages.gz
 cccc 8 main/binary-amd64/Packages.xz
 dddd 8 contrib/binary-amd64/Packages.gz
 eeee 8 main/binary-arm64/Packages.xz
"""
PACKAGES = b"""\
Package: openssl
Architecture: amd64
Version: 3.5.1-1
Description: with a word
 Version: 9

Package: bash
Architecture: amd64
Version: 5.2

Package: openssl-doc
Architecture: all
Version: 3.5.1-1
"""
PRIMARY = b"""\
<metadata xmlns="http://linux.duke.edu/metadata/common" packages="2">
<package type="rpm"><name>openssl</name><arch>x86_64</arch>
<version epoch="1" ver="3.0.7" rel="28.el9"/></package>
<package type="rpm"><name>condor</name><arch>x86_64</arch>
<version epoch="0" ver="23.0" rel="1.el9"/></package>
</metadata>
"""
UPDATEINFO = b"""\
<updates>
<update type="security"><id>RLSA-1</id><pkglist><collection>
<package name="openssl" version="3.0.7" release="28.el9" epoch="1" arch="x86_64"/>
</collection></pkglist></update>
<update type="bugfix"><id>RLBA-2</id><pkglist><collection>
<package name="condor" version="23.0" release="1.el9" epoch="0" arch="x86_64"/>
</collection></pkglist></update>
</updates>
"""
REPOMD = b"""\
<repomd xmlns="http://linux.duke.edu/metadata/repo">
<data type="primary"><checksum type="sha256">aaaa</checksum><location href="repodata/p.xml.zst"/></data>
<data type="updateinfo"><checksum type="sha">bbbb</checksum><location href="repodata/u.xml.gz"/></data>
<data type="filelists"><checksum type="sha256">cccc</checksum><location href="repodata/f.xml.gz"/></data>
</repomd>
"""


class Server:
    """Answers from a table: bodies by URL. A validator that is the digest of the body gives 304."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self.bodies = bodies
        self.asked: list[str] = []

    def __call__(self, url: str, etag: str = "", modified: str = "") -> Answer:
        self.asked.append(url)
        body = self.bodies.get(url)
        if body is None:
            return Answer(404)
        tag = hashlib.sha256(body).hexdigest()
        return Answer(304, etag=tag) if tag == etag else Answer(200, body, tag)


def test_the_indexes_of_each_component_in_the_best_compression() -> None:
    found = list(apt.indexes(apt.fields(RELEASE), DEBIAN, "amd64"))
    assert found == [
        Index("main/binary-amd64/by-hash/SHA256/cccc#Packages.xz", "cccc"),
        Index("contrib/binary-amd64/by-hash/SHA256/dddd#Packages.gz", "dddd"),
    ]


def test_a_flat_repository_has_one_index_and_no_folders() -> None:
    flat = Repository("own ./", "apt", "http://x", "./")
    text = "SHA256:\n aaaa 10 ./Packages\n"
    assert list(apt.indexes(apt.fields(text), flat, "amd64")) == [Index("Packages", "aaaa")]
    assert apt.folder(flat, "http://x") == "http://x"
    assert apt.folder(DEBIAN, "http://x") == "http://x/dists/trixie"


def test_the_label_or_the_suite_tells_a_security_archive() -> None:
    assert apt.is_security(apt.fields(RELEASE), DEBIAN)
    assert not apt.is_security({"Label": "Debian"}, DEBIAN)


def test_only_the_wanted_packages_are_read_and_descriptions_are_no_fields() -> None:
    found = list(apt.offers(PACKAGES, {"openssl", "openssl-doc"}, security=True))
    assert found == [
        Offer("openssl", "amd64", "3.5.1-1", security=True),
        Offer("openssl-doc", "all", "3.5.1-1", security=True),
    ]


def test_an_unchanged_inrelease_is_one_request() -> None:
    server = Server({"http://x/dists/trixie/InRelease": b"signed"})
    seen = Seen(hashlib.sha256(b"signed").hexdigest())
    first = apt.ask(DEBIAN, "http://x", "amd64", {}, seen, server)  # a server without validators
    assert not first.changed
    tagged = Seen(seen.digest, etag=seen.digest)
    assert not apt.ask(DEBIAN, "http://x", "amd64", {}, tagged, server).changed
    assert server.asked == ["http://x/dists/trixie/InRelease"] * 2


def test_a_changed_inrelease_without_a_key_is_refused() -> None:
    server = Server({"http://x/dists/trixie/InRelease": b"signed"})
    with pytest.raises(WrongChecksum, match="No key is known"):
        apt.ask(DEBIAN, "http://x", "amd64", {}, Seen("other"), server)
    with pytest.raises(Unreachable, match="neither InRelease nor"):
        apt.ask(DEBIAN, "http://y", "amd64", {}, None, server)


def test_an_armored_key_becomes_binary() -> None:
    begin, end = (f"-----{word} PGP PUBLIC KEY BLOCK-----\n" for word in ("BEGIN", "END"))
    armored = f"{begin}Version: 1\n\nAAEC\nAwQF\n=abcd\n{end}".encode()
    assert apt.binary(armored) == bytes(range(6))
    assert apt.binary(b"\x99\x01") == b"\x99\x01"


def test_repomd_names_the_lists_that_are_read() -> None:
    assert list(rpm.indexes(REPOMD, "http://x")) == [
        Index("repodata/p.xml.zst", "aaaa"),
        Index("repodata/u.xml.gz", "sha:bbbb", "updateinfo"),
    ]


def test_the_packages_of_primary_with_their_epochs_and_without_excluded_ones() -> None:
    found = list(rpm.offers(PRIMARY, {"openssl", "condor"}, ("condor*",)))
    assert found == [Offer("openssl", "x86_64", "1:3.0.7-28.el9")]
    assert rpm.security_updates(UPDATEINFO) == {("openssl", "x86_64", "1:3.0.7-28.el9")}


def test_metadata_with_entities_is_refused() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "b">]><updates/>'
    with pytest.raises(WrongChecksum, match="declares XML entities"):
        rpm.security_updates(bomb)
    with pytest.raises(WrongChecksum, match="not valid XML"):
        list(rpm.indexes(b"<repomd", "http://x"))


@pytest.mark.parametrize(
    "text",
    [
        b"# mirrors\nhttps://m.example.org/9/\n",
        b'<metalink xmlns="http://www.metalinker.org/"><files><file><resources>'
        b"<url>rsync://m/x</url><url>https://m.example.org/9/repodata/repomd.xml</url>"
        b"</resources></file></files></metalink>",
    ],
)
def test_the_first_mirror_of_a_list_is_kept(text: bytes) -> None:
    repository = Repository("baseos", "rpm", mirror_list="https://list/?x=1")
    server = Server({"https://list/?x=1": text, "https://m.example.org/9/repodata/repomd.xml": REPOMD})
    url = Addresses().of(repository)
    head = rpm.ask(repository, url, None, server)
    assert head.seen.base == "https://m.example.org/9"
    assert not rpm.ask(repository, url, head.seen, server).changed
    assert server.asked.count("https://list/?x=1") == 1
    gone = replace(head.seen, base="https://gone.example.org/9")
    assert rpm.ask(repository, url, gone, server).seen.base == "https://m.example.org/9"
    with pytest.raises(Unreachable, match="http://mine has no repodata"):
        rpm.ask(repository, "http://mine", head.seen, server)


def test_a_request_is_made_once_for_several_images() -> None:
    server = Server({"http://x/a": b"a"})
    get = http.remembering(server)
    assert [get("http://x/a").body, get("http://x/a").body, get("http://x/b").status] == [b"a", b"a", 404]
    assert server.asked == ["http://x/a", "http://x/b"]


def test_a_damaged_index_is_reported() -> None:
    with pytest.raises(WrongChecksum, match="damaged"):
        decompressed(b"not xz", "Packages.xz")
    assert decompressed(b"plain", "Packages") == b"plain"


def test_options_name_mirrors_by_repository_id() -> None:
    plain = Repository("htcondor bookworm", "apt", "http://public", "bookworm")
    assert Addresses().of(plain) == "http://public"
    assert Addresses("", {"htcondor": "http://mine/"}).of(plain) == "http://mine"
    distribution = Repository("debian trixie", "apt", "", "trixie")
    assert Addresses("http://mirror/debian/").of(distribution) == "http://mirror/debian"
    security = Repository("debian trixie-security", "apt", "", "trixie-security", security=True)
    with pytest.raises(Unreachable, match="No mirror of Debian's security archive"):
        Addresses("http://mirror/debian").of(security)
