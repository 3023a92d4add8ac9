"""The pure parts of --pool-shape: the worker's configuration and the sample jobs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import jwt
import pytest

from bakery.commands import verify
from bakery.userdata.rendering import conf_text
from bakery.verify import verification
from bakery.verify.pool import access_point, throwaway_pool
from bakery.verify.pool.sample_jobs import SITE, SampleJobs, adapt_to_ospool, make_sample_jobs
from bakery.verify.pool.throwaway_pool import SHAPES
from provisioner.errors import BadInput

ROOT = Path(__file__).parent.parent.parent.parent
ANSWERS = tomllib.loads((ROOT / "tests/ospool/answers.toml").read_text())
OSPOOL = SHAPES["ospool"]


def ospool_samples(*, has_role: bool) -> SampleJobs:
    plain = make_sample_jobs("osg", "a name", "a.b.c", {"IdleTimeout": "60"})
    return adapt_to_ospool(plain, OSPOOL, has_role=has_role)


def test_the_values_of_the_option_are_the_shapes() -> None:
    assert tuple(SHAPES) == verification.POOL_SHAPES
    parse = verify.parser("worker-bakery verify").parse_args
    assert [parse(["i", "--pool-shape", shape]).pool_shape for shape in SHAPES] == list(SHAPES)
    assert parse(["i"]).pool_shape == "plain"


def test_the_worker_file_has_both_managers_the_brokers_and_the_trust_domain() -> None:
    text = conf_text(ospool_samples(has_role=False).conf)
    assert f"CentralManager = {throwaway_pool.ADDRESS},{throwaway_pool.SECOND}\n" in text
    assert f"CCBAddress = {','.join(throwaway_pool.BROKERS)}\n" in text
    assert "TrustDomain = flock.opensciencegrid.org\n" in text
    assert "SiteName" not in text
    assert (
        ospool_samples(has_role=False).condor_host == f"{throwaway_pool.ADDRESS},{throwaway_pool.ADDRESS}"
    )


def test_the_token_has_the_trust_domain_of_the_shape() -> None:
    token = throwaway_pool.Pool(Path("/root-of-it"), b"k" * 64, shape=OSPOOL).worker_token()
    assert jwt.decode(token, options={"verify_signature": False})["iss"] == "flock.opensciencegrid.org"


def test_both_jobs_differ_in_their_project_only() -> None:
    jobs = ospool_samples(has_role=False)
    mine, foreign = dict(jobs.matching.commands), dict(jobs.foreign.commands)
    assert mine.pop("+ProjectName") != foreign.pop("+ProjectName")
    assert mine == foreign
    assert mine["+JobDurationCategory"] == '"Medium"'


def test_with_the_role_the_jobs_require_its_attributes() -> None:
    jobs = ospool_samples(has_role=True)
    assert f"SiteName = {SITE}\n" in conf_text(jobs.conf)
    assert SITE in jobs.matching.commands["+DESIRED_Sites"]
    assert "OSGVO_OS_STRING" in jobs.matching.commands["requirements"]


def test_a_worker_of_another_kind_cannot_join_the_ospool() -> None:
    other = make_sample_jobs("prominence", "a name", "a.b.c", {})
    with pytest.raises(BadInput, match="cannot join the OSPool"):
        adapt_to_ospool(other, OSPOOL, has_role=False)


def test_each_transform_is_named_and_ends() -> None:
    text = access_point.TRANSFORMS
    listed = re.findall(r"^JOB_TRANSFORM_NAMES = \$\(JOB_TRANSFORM_NAMES\) (.*)$", text, re.MULTILINE)
    names = [name.strip() for row in listed for name in row.split(",")]
    assert re.findall(r"^JOB_TRANSFORM_(\w+) @=end$", text, re.MULTILINE) == names
    assert len(re.findall(r"^@end$", text, re.MULTILINE)) == len(names)
