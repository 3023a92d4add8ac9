from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from bakery.image import apt_source
from provisioner.errors import BadInput

PACKETS = bytes(range(256)) * 3
HEAD, TAIL = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
PLAIN = "Types: deb\nURIs: http://r.invalid/x\nSuites: sid\nComponents: main\n"


def source(tmp_path: Path, text: str) -> str:
    (tmp_path / "x.sources").write_text(text)
    return apt_source.read([tmp_path / "x.sources"])


def packets(text: str) -> bytes:
    """Decode the key in deb822 text, in which no line may be empty and each begins with a blank."""
    found = re.search(rf"signed-by:\n {HEAD}\n \.\n((?: \S+\n)+) {TAIL}\n", text)
    assert found, text
    return base64.b64decode(found[1])


def armored(content: bytes) -> str:
    return f"{HEAD}\nComment: x\n\n{base64.encodebytes(content).decode()}=abcd\n{TAIL}\n"


def test_fields_keep_continuation_lines(tmp_path: Path) -> None:
    text = f"# a comment\n\n{PLAIN}Check-Valid-Until: no\n\n\n{PLAIN.replace('sid', 'x' + chr(10) + ' y')}"
    read = source(tmp_path, text)
    assert "check-valid-until: no\n" in read
    assert "suites: x\n y\n" in read
    assert read.count("types: deb\n") == 2
    assert "\n\n" in read


def test_files_are_concatenated(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(PLAIN.replace("sid", name))
    read = apt_source.read([tmp_path / "a", tmp_path / "b"])
    assert [entry.count("suites:") for entry in read.split("\n\n")] == [1, 1]
    assert apt_source.read([]) == ""


def test_keyrings_are_embedded(tmp_path: Path) -> None:
    (tmp_path / "k.gpg").write_bytes(PACKETS)
    (tmp_path / "k.asc").write_text(armored(PACKETS[:100]) + armored(PACKETS[100:]))
    for keys in (f"{tmp_path}/k.gpg", f"{tmp_path}/k.asc"):
        read = source(tmp_path, f"{PLAIN}Signed-By: {keys}\n")
        assert packets(read) == PACKETS
        assert str(tmp_path) not in read
    both = source(tmp_path, f"{PLAIN}Signed-By: {tmp_path}/k.gpg {tmp_path}/k.asc\n")
    assert packets(both) == PACKETS * 2


def test_embedded_key_is_unchanged(tmp_path: Path) -> None:
    key = "".join(f" {row or '.'}\n" for row in armored(PACKETS).strip().splitlines())
    assert f"signed-by:\n{key}" in source(tmp_path, f"{PLAIN}Signed-By:\n{key}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not contain a repository"),
        ("# only this\n", "does not contain a repository"),
        ("deb http://r.invalid/x sid main\n", "invalid or repeated field"),
        (PLAIN.replace("Suites: sid\n", ""), "without Suites"),
        (PLAIN.replace("deb", "deb-src"), "without binary packages"),
        (PLAIN + PLAIN, "invalid or repeated field: types"),
        (PLAIN.replace("http://r.invalid", "file:///srv"), "not http:// or https://"),
        (PLAIN.replace("http://r.invalid", "/srv"), "not http:// or https://"),
        (PLAIN.replace("//r", "//me:hunter2@r"), "user or password in a URI"),
        (f"{PLAIN}Signed-By: /nowhere.gpg\n", "No such file"),
        (f"{PLAIN}Signed-By: ABCDEF0123456789\n", "neither paths nor a key"),
        (f"{PLAIN}Signed-By:\n", "neither paths nor a key"),
    ],
)
def test_invalid_source_is_rejected(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=re.escape(says)) as caught:
        source(tmp_path, text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("content", [f"{HEAD}\n\n!!!\n{TAIL}\n", f"{HEAD}\n", ""])
def test_invalid_keyring_is_rejected(tmp_path: Path, content: str) -> None:
    (tmp_path / "k.asc").write_text(content)
    with pytest.raises(BadInput, match="is not a keyring"):
        source(tmp_path, f"{PLAIN}Signed-By: {tmp_path}/k.asc\n")


def test_unreadable_source_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("nowhere", "binary"):
        with pytest.raises(BadInput, match="Cannot read the apt source"):
            apt_source.read([tmp_path / name])
