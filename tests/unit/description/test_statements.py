"""The statements about an image, by the messages that in-toto and SLSA publish."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as Result
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message

from bakery.description import components, statements
from tests.unit.description.sample import APT, DIGEST, HOSTILE, IMAGE, RPM, manifest

PROOF = {
    "offline": {
        "at": "2026-11-29T08:02:00+00:00",
        "version": "0.2.0",
        "checks": [{"what": "tests", "seconds": 1.5}],
    },
    "pool": {
        "at": "2026-11-29T08:05:00+00:00",
        "version": "0.2.0",
        "accelerator": "tcg",
        "machine": "vm",
        "pool_shape": "plain",
        "console": "c" * 64,
        "tests": {"test_site.py": "d" * 64},
        "checks": [{"what": "a job of TG-PROOF01 ran on it", "seconds": 3.0}],
    },
    "clone": {
        "at": "2026-11-29T08:15:00+00:00",
        "version": "0.2.0",
        "accelerator": "tcg",
        "machine": "vm",
        "pool_shape": "plain",
        "consoles": {"clone-1": "e" * 64, "clone-2": "f" * 64},
        "checks": [{"what": "the second shut down", "seconds": 9.0}],
    },
}  # fmt: skip


def image(rows: list[str] = APT, proof: dict[str, Any] = PROOF) -> components.Image:
    return components.of_manifest(IMAGE, {**manifest(rows), "proof": proof})


def accepted(statement: dict[str, Any], predicate: Any) -> None:
    """Unknown fields, and values of other types, are errors."""
    parsed = json_format.ParseDict(json.loads(statements.text(statement)), Message())
    Statement.copy_from_pb(parsed).validate()
    json_format.ParseDict(statement["predicate"], predicate)


def test_the_messages_accept_the_statements() -> None:
    for rows in (APT, RPM, HOSTILE):
        accepted(statements.provenance(image(rows), "{}"), Provenance())
        found = statements.verification(image(rows))
        assert found
        accepted(found, Result())


def test_what_the_provenance_says() -> None:
    found = statements.provenance(image(), "the manifest")
    assert found["subject"] == [{"name": "worker.qcow2", "digest": {"sha256": DIGEST}}]
    definition, run = found["predicate"]["buildDefinition"], found["predicate"]["runDetails"]
    made = manifest()
    assert definition["externalParameters"] == {
        "plan": made["id"], "base": "debian13", "worker": "osg", "format": "qcow2"
    }  # fmt: skip
    base, repository, *packages = definition["resolvedDependencies"]
    assert base["digest"] == {"sha256": made["plan"]["base_id"]}
    assert repository == {"name": "repository debian trixie", "digest": {"sha256": "1"}}
    assert {"uri": "pkg:deb/debian/tzdata@2025b-4?arch=all&distro=debian-13"} in packages
    assert run["builder"]["version"] == {"worker-bakery": "0.2.0"}
    assert run["metadata"] == {"startedOn": "2026-11-29T08:00:00Z", "finishedOn": "2026-11-29T08:01:00Z"}


def test_what_was_shown_at_which_level() -> None:
    found = statements.verification(image())
    assert found
    predicate = found["predicate"]
    shown = ["offline: tests", "pool: a job of TG-PROOF01 ran on it", "clone: the second shut down"]
    assert predicate["passedTests"] == shown
    pool = next(one for one in predicate["configuration"] if one["name"] == "pool")
    assert pool["annotations"] == {
        "at": "2026-11-29T08:05:00+00:00",
        "version": "0.2.0",
        "accelerator": "tcg",
        "machine": "vm",
        "pool_shape": "plain",
        "seconds": {"a job of TG-PROOF01 ran on it": 3.0},
    }
    assert {"name": "pool: console", "digest": {"sha256": "c" * 64}} in predicate["configuration"]
    assert {"name": "clone: console of clone-2", "digest": {"sha256": "f" * 64}} in predicate[
        "configuration"
    ]
    assert {"name": "pool: test_site.py", "digest": {"sha256": "d" * 64}} in predicate["configuration"]
    assert statements.verification(image(proof={})) is None


def test_the_format_is_that_of_the_file() -> None:
    names = {"w.qcow2": "qcow2", "w.raw": "raw", "w.vhd": "vhd", "w.tar.gz": "gce"}
    found = {name: components.of_manifest(IMAGE.with_name(name), manifest()).format for name in names}
    assert found == names
    container = manifest()
    container["plan"]["steps"][0]["role"] = "container"
    assert components.of_manifest(IMAGE.with_name("w.tar"), container).format == "oci"
