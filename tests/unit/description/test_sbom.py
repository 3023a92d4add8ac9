"""The SBOMs of an image, read by the validators of their formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from packageurl import PackageURL
from spdx_tools.spdx.model import Document
from spdx_tools.spdx.parser.json.json_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from bakery.description import components, cyclonedx, licenses, packages, spdx
from bakery.description.components import Image
from tests.unit.description.sample import APT, DIGEST, HOSTILE, IMAGE, RPM, installed, manifest


def image(rows: list[str] = APT) -> Image:
    return components.of_manifest(IMAGE, manifest(rows))


def is_cyclonedx(text: str) -> bool:
    # Not at the top: each lane of tests imports this module, and jsonschema takes a second.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def parsed(text: str) -> Document:
    found: Document = JsonLikeDictParser().parse(json.loads(text))
    return found


@pytest.mark.parametrize("rows", [APT, RPM, HOSTILE], ids=["apt", "rpm", "hostile"])
def test_the_validators_accept_both(rows: list[str]) -> None:
    made = image(rows)
    assert is_cyclonedx(cyclonedx.text(made))
    assert validate_full_spdx_document(parsed(spdx.text(made)), "SPDX-2.3") == []


def test_an_image_without_a_manifest_has_valid_ones() -> None:
    found = {"installed": packages.to_json(installed(APT))}
    made = components.of_manifest(IMAGE, found)
    assert is_cyclonedx(cyclonedx.text(made))
    assert validate_full_spdx_document(parsed(spdx.text(made)), "SPDX-2.3") == []


def test_the_validators_reject_other_documents() -> None:
    """What the tests above rely on."""
    broken = json.loads(cyclonedx.text(image()))
    broken["components"][0]["type"] = "thing"
    assert not is_cyclonedx(json.dumps(broken))
    document = json.loads(spdx.text(image()))
    document["packages"][1]["licenseDeclared"] = "LicenseRef-missing"
    assert validate_full_spdx_document(parsed(json.dumps(document)), "SPDX-2.3") != []


def test_the_same_image_has_the_same_documents() -> None:
    for form in (cyclonedx, spdx):
        assert form.text(image()) == form.text(image())
        assert form.text(image()) != form.text(
            components.of_manifest(IMAGE.with_name("other.qcow2"), manifest())
        )


def by_name(text: str, key: str) -> Mapping[str, Any]:
    return {one["name"]: one for one in json.loads(text)[key]}


def test_what_cyclonedx_says_of_a_package() -> None:
    text = cyclonedx.text(image())
    bash = by_name(text, "components")["bash"]
    assert bash["purl"] == "pkg:deb/debian/bash@5.2.37-2%2Bb5?arch=amd64&distro=debian-13"
    assert {(one["license"].get("id"), one["license"].get("name")) for one in bash["licenses"]} == {
        ("GPL-3.0-or-later", None),
        ("Latex2e", None),
    }
    assert bash["properties"] == [
        {"name": "worker-bakery:repository", "value": "debian trixie"},
        {"name": "worker-bakery:source", "value": "bash 5.2.37-2"},
    ]
    assert set(by_name(text, "components")) == {
        *("bash", "debian13", "libstdc++6", "tzdata", "udocker", "worker-bakery")
    }
    subject = json.loads(text)["metadata"]["component"]
    assert (subject["name"], subject["hashes"]) == ("worker.qcow2", [{"alg": "SHA-256", "content": DIGEST}])
    assert json.loads(text)["metadata"]["timestamp"] == "2026-11-29T08:01:00+00:00"


def test_what_spdx_says_of_a_package() -> None:
    found = by_name(spdx.text(image()), "packages")
    libstdcxx = found["libstdc++6"]
    assert libstdcxx["licenseDeclared"].startswith("LicenseRef-GPL-3-with-GCC-exception-")
    assert libstdcxx["supplier"] == "Organization: GCC Maintainers (gcc@example.org)"
    [reference] = libstdcxx["externalRefs"]
    assert reference["referenceLocator"] == (
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=debian-13"
    )
    assert found["bash"]["licenseDeclared"] == "GPL-3.0-or-later AND Latex2e"
    assert found["tzdata"]["licenseDeclared"] == "NOASSERTION"
    assert found["worker.qcow2"]["checksums"] == [{"algorithm": "SHA256", "checksumValue": DIGEST}]


def test_packages_of_rpm() -> None:
    [package] = installed(RPM).packages
    assert (package.source, package.source_version, package.size) == ("openssl", "1:3.2.2-6.el9", 6_000_000)
    assert components.purl(package, installed(RPM)) == (
        "pkg:rpm/almalinux/openssl-libs@3.2.2-6.el9?arch=x86_64&distro=almalinux-9.5&epoch=1"
    )


def test_a_hostile_name_is_quoted() -> None:
    found = [one for one in components.components(image(HOSTILE)) if one.kind == "package"]
    for one in found:
        assert PackageURL.from_string(one.purl).name == one.name.strip("/").lower() or "/" in one.name
        assert "\x1b" not in one.purl
    assert "\x1b" not in cyclonedx.text(image(HOSTILE)) + spdx.text(image(HOSTILE))


def test_a_manifest_keeps_all_that_is_known() -> None:
    for rows in (APT, RPM, HOSTILE):
        found = installed(rows)
        again = json.loads(json.dumps({"installed": packages.to_json(found)}))
        assert packages.of_manifest(again) == found


def test_the_lock_of_an_earlier_version() -> None:
    found = packages.of_manifest({"lock": manifest()["lock"]})
    assert found
    bash = found.packages[0]
    assert (bash.name, bash.licenses, bash.size) == ("bash", (), 0)
    assert packages.of_manifest({}) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GPL-2+ or Artistic", "GPL-2.0-or-later OR Artistic-1.0-Perl"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", "GPL-3.0-or-later WITH GCC-exception-3.1"),
        ("public-domain", None),
        ("GPLv2+ and MIT", None),
        ("MIT WITH MIT", None),
        ("MIT AND", None),
        ("(((", None),
        ("", None),
    ],
)
def test_licenses(name: str, expected: str | None) -> None:
    assert licenses.expression(name) == expected
