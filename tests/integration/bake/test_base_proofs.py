"""`worker-bakery bases --prove`: real bakes and proofs of bases, and bases that cannot be reached."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bakery import __version__
from bakery.bake.options import Options
from bakery.base_proofs import prove, result_file
from bakery.base_proofs.record import Proof, Record, image_digest
from bakery.image import recipe
from bakery.store.store import Store, manifest_path, read_manifest
from provisioner.errors import NotProven
from provisioner.events import Silent
from tests.conftest import BASE, VENDOR, Ended, command
from tests.integration.bake.test_bake import dirty

EARLIER = Proof(
    at="2026-11-01T02:17:00+00:00",
    architecture="x86_64",
    image="sha256:ab",
    versions={"worker-bakery": "0.1.0"},
    level="boot",
)


def proving(result: Path, *names: str, **how: Any) -> Ended:
    options = ("--level", "offline", "--result", str(result), "--json")
    return command("worker-bakery", "bases", "--prove", *options, *names, **how)


def test_the_record_of_a_base_is_what_its_image_has_and_its_proof_says(
    baked: dict[str, Any], image_root: Path, tmp_path: Path
) -> None:
    done = proving(tmp_path / "proofs.json", BASE.name)
    assert done.status == 0, done.err[-3000:]
    shown = json.loads(done.out)["bases"][BASE.name]["proof"]
    manifest = read_manifest(Path(baked["path"])) or {}
    offline = manifest["proof"]["offline"]
    kernels = sorted(path.name for path in (image_root / "usr/lib/modules").iterdir())
    assert shown == {
        "at": offline["at"],
        "architecture": BASE.architecture,
        "image": image_digest(BASE),
        "versions": {
            "worker-bakery": __version__,
            "HTCondor": dpkg_version(image_root, "condor"),
            "cloud-init": dpkg_version(image_root, "cloud-init"),
            "kernel": kernels[-1],
        },
        "level": "offline",
        "seconds": {
            "offline": pytest.approx(sum(check["seconds"] for check in offline["checks"]), abs=0.1)
        },
    }
    listed = command("worker-bakery", "bases", "--result", str(tmp_path / "proofs.json"), BASE.name)
    assert listed.out.splitlines()[-1].endswith(f"offline on {offline['at'][:10]}")


def dpkg_version(root: Path, package: str) -> str:
    """As dpkg-query says it of the mounted image."""
    argv = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Version}", package]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_a_base_that_cannot_be_reached_keeps_its_proof_and_does_not_stop_the_others(
    baked: dict[str, Any], tmp_path: Path
) -> None:
    result, base = tmp_path / "proofs.json", tmp_path / "mine.toml"
    base.write_text(VENDOR.format(url="http://127.0.0.1:9/image.qcow2", digest="ab" * 32))
    result_file.merge(result, "mine", Record(tests="by hand", proof=EARLIER))
    done = proving(result, str(base), BASE.name)
    assert done.status == 5, done.err[-3000:]
    found = result_file.read(result)
    assert (found["mine"].tests, found["mine"].proof) == ("by hand", EARLIER)
    assert found["mine"].not_tried and found["mine"].not_tried.reason == "unreachable"
    assert "127.0.0.1:9" in found["mine"].not_tried.text
    proven = found[BASE.name].proof
    assert proven and proven.level == "offline"
    events = [json.loads(line) for line in done.err.splitlines()]
    warned = [one["text"] for one in events if one["event"] == "warning"]
    assert [text for text in warned if text.startswith("mine was not tried, unreachable: ")]


def test_an_image_that_fails_its_proof_is_recorded_with_the_check(
    baked: dict[str, Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that still holds a host key after its seal. With a secret, the bake itself would fail."""
    host_key = ("dirt", lambda context: dirty(context)[1:])
    monkeypatch.setitem(recipe.ROLES, "osg", (*recipe.ROLES["osg"], host_key))
    image = store.image(recipe.plan(BASE, "osg"))
    try:
        attempt = prove.prove(BASE, Options(base=BASE.name, level="offline"), store, Silent())
    finally:
        image.unlink(missing_ok=True)
        manifest_path(image).unlink(missing_ok=True)
    assert attempt.exit_code == NotProven.exit_code
    proof = attempt.record.proof
    assert proof and proof.level == "none"
    assert proof.failed.startswith(
        "offline: image tests on the mounted root: The image failed these tests: test_"
    )
    assert proof.seconds["bake"] > 0
    assert {"HTCondor", "kernel", "cloud-init"} < set(proof.versions)


def test_bad_input_is_reported_before_any_bake(tmp_path: Path) -> None:
    for result, name, says in (
        (tmp_path / "none" / "proofs.json", BASE.name, "does not exist"),
        (tmp_path / "proofs.json", "rocki9", "Did you mean rocky9?"),
    ):
        done = proving(result, BASE.name, name)
        assert (done.status, says in done.err) == (2, True), done.err
    (tmp_path / "proofs.json").write_text("not JSON")
    done = proving(tmp_path / "proofs.json", BASE.name)
    assert (done.status, "is not a result file" in done.err) == (2, True), done.err
