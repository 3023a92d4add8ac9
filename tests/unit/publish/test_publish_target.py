"""What --to accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.publish.target import Bucket, Cloud, Folder, Repository, parse
from provisioner.errors import BadInput


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("file:///srv/images", Folder(Path("/srv/images"))),
        ("file:///srv/my%20images", Folder(Path("/srv/my images"))),
        ("s3://images", Bucket("images", "")),
        ("s3://images/htcondor/workers/", Bucket("images", "htcondor/workers/")),
        ("openstack:jetstream2", Cloud("jetstream2")),
        ("oci://registry.example.org/site/worker", Repository("registry.example.org", "site/worker", "")),
        ("oci://localhost:5000/worker:v1", Repository("localhost:5000", "worker", "v1")),
    ],
)
def test_a_target(text: str, target: object) -> None:
    assert parse(text) == target


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/srv/images", "no supported scheme"),
        ("opnstack:cloud", "Did you mean openstack"),
        ("file://host/srv", "absolute path"),
        ("s3://Images", "name of a bucket"),
        ("s3://", "name of a bucket"),
        ("openstack:", "name of the cloud is missing"),
        ("oci://registry", "not a repository"),
        ("oci://registry/Upper", "not a repository"),
        ("oci://registry/name:", None),
    ],
)
def test_what_is_no_target(text: str, said: str | None) -> None:
    if said is None:
        assert parse(text) == Repository("registry", "name", "")
        return
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["s3://AKIA:canary-secret@bucket/x", "oci://me:canary-secret@registry/x"])
def test_credentials_in_a_target_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert "canary-secret" not in str(caught.value)
