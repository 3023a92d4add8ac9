"""Statements about an image: how it was baked (SLSA provenance) and what was shown of it (test results).

Sources: in-toto Statement v1; SLSA provenance v1; in-toto test-result predicate v0.1. A statement that
signature.sign has put into a signed envelope is an attestation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from bakery.description.components import Image, components

TYPE = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
BUILD_TYPE = "urn:worker-bakery:bake:1"
BUILDER = "urn:worker-bakery:builder:1"


def provenance(image: Image, manifest_text: str) -> dict[str, Any]:
    """How the image was baked: plan, base, packages, program, times. `manifest_text` is published."""
    manifest = image.manifest
    parameters = {
        "plan": image.id,
        "base": manifest.get("base"),
        "worker": manifest.get("kind"),
        "format": image.format,
    }
    internal = {key: manifest[key] for key in ("engine", "architecture") if key in manifest}
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": _known(parameters),
        "internalParameters": internal,
        "resolvedDependencies": [*_base(manifest), *_lock(manifest), *_packages(image)],
    }
    digest = hashlib.sha256(manifest_text.encode()).hexdigest()
    run = {
        "builder": {"id": BUILDER, "version": _known({"worker-bakery": manifest.get("version")})},
        "metadata": _known(
            {"startedOn": _time(manifest.get("started")), "finishedOn": _time(manifest.get("made"))}
        ),
        "byproducts": [{"name": "manifest", "digest": {"sha256": digest}, "mediaType": "application/json"}],
    }
    return _statement(image, PROVENANCE, {"buildDefinition": definition, "runDetails": run})


def verification(image: Image) -> dict[str, Any] | None:
    """What was shown of the image at each level; None if nothing was. Each level is a configuration."""
    proof: Mapping[str, Mapping[str, Any]] = image.manifest.get("proof", {})
    if not proof:
        return None
    predicate = {
        "result": "PASSED",
        "configuration": [one for level, entry in proof.items() for one in _configuration(level, entry)],
        "passedTests": [
            f"{level}: {check['what']}" for level, entry in proof.items() for check in entry["checks"]
        ],
    }
    return _statement(image, TEST_RESULT, predicate)


def text(statement: Mapping[str, Any]) -> str:
    """A statement as its file has it; the envelope has the same bytes."""
    return json.dumps(statement, indent=1) + "\n"


def _statement(image: Image, kind: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    subject = {"name": image.name, "digest": {"sha256": image.digest}}
    return {"_type": TYPE, "subject": [subject], "predicateType": kind, "predicate": predicate}


def _base(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A downloaded base has the digest of its file; one that is built, that of its recipe."""
    plan = manifest.get("plan")
    if plan:
        algorithm = "sha512" if len(plan["base_id"]) == 128 else "sha256"
        about = _known({"digest of": manifest.get("base_source")})
        yield {
            "name": f"base {plan['base']}",
            "digest": {algorithm: plan["base_id"]},
            **({"annotations": about} if about else {}),
        }


def _lock(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The metadata of the package repositories, as the bake has read them."""
    for name, seen in manifest.get("lock", {}).get("seen", {}).items():
        yield {"name": f"repository {name}", "digest": {"sha256": seen["digest"]}}


def _packages(image: Image) -> Iterator[dict[str, Any]]:
    yield from ({"uri": one.purl} for one in components(image) if one.kind == "package")


def _configuration(level: str, entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A level with its time, program, machine and pool; the consoles of machines; the tests of a site."""
    files = ("checks", "console", "consoles", "tests")
    plain = {key: value for key, value in entry.items() if key not in files}
    seconds = {check["what"]: check["seconds"] for check in entry["checks"]}
    yield {"name": level, "annotations": {**plain, "seconds": seconds}}
    if console := entry.get("console"):
        yield {"name": f"{level}: console", "digest": {"sha256": console}}
    for name, digest in entry.get("consoles", {}).items():
        yield {"name": f"{level}: console of {name}", "digest": {"sha256": digest}}
    for name, digest in entry.get("tests", {}).items():
        yield {"name": f"{level}: {name}", "digest": {"sha256": digest}}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _time(text: str | None) -> str | None:
    """RFC 3339 in UTC, as SLSA requires."""
    return text.replace("+00:00", "Z") if text else None
