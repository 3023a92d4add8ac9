from __future__ import annotations

import base64
import configparser
import hashlib
import tomllib
from pathlib import Path

import pytest

from bakery.bake.options import Options
from bakery.image import recipe, repositories
from bakery.image.repositories import Replaced
from bakery.runtime import data
from provisioner.actions import Put
from provisioner.errors import BadInput
from provisioner.packages import repository_files
from provisioner.packages.repositories import Key
from provisioner.plan import Plan
from provisioner.targets.chroot import definitions
from tests import golden_plans

TABLE = tomllib.loads(data.REPOSITORIES.read_text())
MIRROR = "http://mirror.example.org/pulp/htcondor/"


def fingerprint(armored: str) -> str:
    """Return the fingerprint of the first packet, a public key of version 4: RFC 4880, 12.2."""
    block = armored.split("-----BEGIN PGP PUBLIC KEY BLOCK-----")[1].split("-----END")[0]
    body = block.replace("\r", "").split("\n\n", 1)[1]
    raw = base64.b64decode("".join(row for row in body.split() if not row.startswith("=")))
    assert raw[0] in (0x98, 0x99)  # a public key, its length in one byte or two
    size = raw[0] - 0x98 + 1
    length = int.from_bytes(raw[1 : 1 + size], "big")
    packet = raw[1 + size : 1 + size + length]
    assert packet[0] == 4
    return hashlib.sha1(b"\x99" + length.to_bytes(2, "big") + packet).hexdigest().upper()


@pytest.mark.parametrize("path", sorted((data.KEYS / "packages").iterdir()), ids=lambda path: path.stem)
def test_keys_have_the_listed_fingerprints(path: Path) -> None:
    assert fingerprint(path.read_text("ascii")) == TABLE["fingerprints"][path.stem]


def test_fingerprints_list_exactly_the_existing_keys() -> None:
    assert set(TABLE["fingerprints"]) == {path.stem for path in (data.KEYS / "packages").glob("*.asc")}


def texts(plan: Plan) -> dict[str, str]:
    puts = [action for step in plan.steps for action in step.actions if isinstance(action, Put)]
    return {put.path: put.data.decode("utf-8", "replace") for put in puts}


def planned(name: str, replaced: Replaced = repositories.NOTHING) -> Plan:
    base = golden_plans.base(name)
    client = golden_plans.CLIENT
    return recipe.plan(base, "osg", optional=["cvmfs"], client=client, replaced=replaced)


@pytest.mark.parametrize(
    "name", [name for name in golden_plans.SYSTEMS if golden_plans.base(name).family.startswith("el")]
)
def test_every_el_repository_checks_signatures_with_an_existing_key(name: str) -> None:
    written = texts(planned(name))
    files = {path: text for path, text in written.items() if path.endswith(".repo")}
    assert {"epel", "htcondor", "cernvm"} <= {Path(path).stem for path in files}
    for text in files.values():
        found = configparser.ConfigParser(interpolation=None)
        found.read_string(text)
        for section in found.values():
            if section.name == "DEFAULT":
                continue
            assert (section["gpgcheck"], section["enabled"]) == ("1", "1")
            keys = [key.removeprefix("file://") for key in section["gpgkey"].split()]
            # The vendor's image contains EL7's key; its digest is pinned.
            assert all(key in written or key.endswith("RPM-GPG-KEY-CentOS-7") for key in keys)


def test_el7_uses_the_vault_without_mirror_list() -> None:
    text = texts(planned("centos7"))["/etc/yum.repos.d/CentOS-Base.repo"]
    assert text.count("baseurl=http://vault.centos.org/7.9.2009/") == 3
    assert "mirrorlist" not in text


def test_debian13_adds_no_repository() -> None:
    assert repositories.of_base("debian", "trixie") == ()


def test_a_lent_mirror_is_no_part_of_the_plan_and_a_kept_one_is() -> None:
    public = planned("almalinux9")
    temporary = repositories.parse_options([f"htcondor={MIRROR}"], [], keep=False)
    assert planned("almalinux9", temporary) == public
    assert dict(temporary.temporary_urls) == {"htcondor": MIRROR}
    kept = repositories.parse_options([f"htcondor={MIRROR}"], [], keep=True)
    assert planned("almalinux9", kept).id != public.id
    assert not kept.temporary_urls
    assert f"baseurl={MIRROR}\n" in texts(planned("almalinux9", kept))["/etc/yum.repos.d/htcondor.repo"]


def test_repository_key_replaces_the_public_key(tmp_path: Path) -> None:
    (tmp_path / "own.asc").write_bytes((data.KEYS / "packages" / "epel-9.asc").read_bytes())
    replaced = repositories.parse_options([], [f"htcondor={tmp_path}/own.asc"], keep=False)
    written = texts(planned("almalinux9", replaced))
    path = "/etc/pki/rpm-gpg/RPM-GPG-KEY-worker-htcondor"
    assert path in written
    assert f"gpgkey=file://{path}\n" in written["/etc/yum.repos.d/htcondor.repo"]
    assert not any("htcondor-25" in name for name in written)
    apt = texts(planned("debian12", replaced))["/etc/apt/sources.list.d/worker-htcondor.sources"]
    assert "Signed-By: /etc/apt/keyrings/worker-htcondor.asc\n" in apt


@pytest.mark.parametrize(
    ("urls", "keys", "keep", "says"),
    [
        (["htcondor"], [], False, "form --repository-url ID=URL"),
        (["=http://x"], [], False, "form --repository-url ID=URL"),
        (["a b=http://x"], [], False, "form --repository-url ID=URL"),
        (["htcondor=ftp://x"], [], False, "http:// or https://"),
        (["htcondor=http://me:secret@x/"], [], False, "or a password"),
        (["htcondor=http://x/\nenabled=0"], [], False, "must not contain blanks"),
        ([], [], True, "requires --repository-url"),
        ([], ["htcondor=/nowhere"], False, "cannot read"),
        ([], ["htcondor=/etc/passwd"], False, "not an armored public key"),
    ],
)
def test_invalid_options_are_rejected(urls: list[str], keys: list[str], keep: bool, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        repositories.parse_options(urls, keys, keep=keep)


def test_options_without_effect_are_rejected() -> None:
    with pytest.raises(BadInput, match="defines no repository baseos"):
        planned("almalinux9", Replaced({"baseos": MIRROR}, keep=True))
    with pytest.raises(BadInput, match="defines no repository htcondr"):
        planned("almalinux9", Replaced(keys={"htcondr": Key("x", b"y")}))
    assert Options().replaced == repositories.NOTHING


VENDOR = """\
[baseos]
name=AlmaLinux $releasever - BaseOS
mirrorlist=https://mirrors.example.org/mirrorlist/$releasever/baseos
# baseurl=https://repo.example.org/
baseurl = https://a.example.org/
    https://b.example.org/
enabled=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-AlmaLinux-9

[crb]
metalink=https://m.example.org/
enabled=0
"""


def test_mirror_replaces_all_urls_of_a_vendor_s_repository() -> None:
    path = "/etc/yum.repos.d/almalinux.repo"
    assert repository_files.ids(path, VENDOR) == {"baseos", "crb"}
    text = repository_files.with_urls(path, VENDOR, {"baseos": MIRROR})
    found = configparser.ConfigParser(interpolation=None)
    found.read_string(text)
    assert dict(found["crb"]) == {"metalink": "https://m.example.org/", "enabled": "0"}
    assert dict(found["baseos"]) == {
        "baseurl": MIRROR,
        "name": "AlmaLinux $releasever - BaseOS",
        "enabled": "1",
        "gpgkey": "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-AlmaLinux-9",
    }
    assert repository_files.with_urls(path, VENDOR, {}) == VENDOR


def test_mirror_in_an_apt_source() -> None:
    path = "/etc/apt/sources.list.d/worker-htcondor.sources"
    text = texts(planned("debian12"))[path]
    assert repository_files.ids(path, text) == {"htcondor"}
    assert f"\nURIs: {MIRROR}\n" in repository_files.with_urls(path, text, {"htcondor": MIRROR})
    other = "/etc/apt/sources.list.d/debian.sources"
    assert repository_files.ids(other, text) == frozenset()
    assert repository_files.with_urls(other, text, {"htcondor": MIRROR}) == text


def test_settings_of_yum_are_lent_in_its_own_section() -> None:
    own = "[main]\ngpgcheck=1\ncachedir=/var/cache/yum/$basearch\n"
    changed = repository_files.with_main(own, {"cachedir": "/run/x", "keepcache": "1"})
    assert changed == "[main]\ncachedir=/run/x\nkeepcache=1\ngpgcheck=1\n"
    assert repository_files.with_main("", {"a": "1"}) == "[main]\na=1\n"


def test_misspelled_repository_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "etc/yum.repos.d").mkdir(parents=True)
    (tmp_path / "etc/yum.repos.d/almalinux.repo").write_text(VENDOR)
    plan = planned("almalinux9")
    known = dict.fromkeys(("baseos", "crb", "epel", "htcondor", "cernvm"), MIRROR)
    repository_files.check(known, plan, definitions(tmp_path))
    with pytest.raises(BadInput, match="defines a repository htcondr") as caught:
        repository_files.check({"htcondr": MIRROR}, plan, definitions(tmp_path))
    assert "baseos, cernvm, crb, epel, htcondor" in caught.value.hint


def test_a_driver_is_refused_where_no_key_is_pinned() -> None:
    with pytest.raises(BadInput, match="does not support el10"):
        recipe.plan(golden_plans.base("almalinux10"), "osg", optional=["nvidia"])
