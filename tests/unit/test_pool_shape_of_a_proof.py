"""The pure parts of --pool-shape: what the worker is told, and how the jobs are written."""

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
from bakery.verify.pool.sample_jobs import SITE, Trial, like_ospool, trial
from bakery.verify.pool.throwaway_pool import SHAPES
from provisioner.errors import BadInput

ROOT = Path(__file__).parent.parent.parent
ANSWERS = tomllib.loads((ROOT / "tests/ospool/answers.toml").read_text())
OSPOOL = SHAPES["ospool"]


def tried(*, has_role: bool) -> Trial:
    plain = trial("osg", "a name", "a.b.c", {"IdleTimeout": "60"})
    return like_ospool(plain, OSPOOL, has_role=has_role)


def test_the_option_s_values_are_the_pool_s_shapes() -> None:
    assert tuple(SHAPES) == verification.POOL_SHAPES
    parse = verify.parser("worker-bakery verify").parse_args
    assert [parse(["i", "--pool-shape", shape]).pool_shape for shape in SHAPES] == list(SHAPES)
    assert parse(["i"]).pool_shape == "plain"


def test_a_worker_is_told_of_both_managers_the_brokers_and_the_trust_domain() -> None:
    text = conf_text(tried(has_role=False).conf)
    assert f"CentralManager = {throwaway_pool.ADDRESS},{throwaway_pool.SECOND}\n" in text
    assert f"CCBAddress = {','.join(throwaway_pool.BROKERS)}\n" in text
    assert "TrustDomain = flock.opensciencegrid.org\n" in text
    assert "SiteName" not in text
    assert tried(has_role=False).condor_host == f"{throwaway_pool.ADDRESS},{throwaway_pool.ADDRESS}"


def test_the_token_is_of_the_shape_s_trust_domain() -> None:
    made = throwaway_pool.Pool(Path("/root-of-it"), b"k" * 64, shape=OSPOOL).worker_token()
    assert jwt.decode(made, options={"verify_signature": False})["iss"] == "flock.opensciencegrid.org"


def test_both_jobs_are_written_alike_but_for_their_project() -> None:
    one = tried(has_role=False)
    mine, foreign = dict(one.matching.commands), dict(one.foreign.commands)
    assert mine.pop("+ProjectName") != foreign.pop("+ProjectName")
    assert mine == foreign
    assert mine["+JobDurationCategory"] == '"Medium"'


def test_with_the_role_they_ask_for_what_only_it_says() -> None:
    one = tried(has_role=True)
    assert f"SiteName = {SITE}\n" in conf_text(one.conf)
    assert SITE in one.matching.commands["+DESIRED_Sites"]
    assert "OSGVO_OS_STRING" in one.matching.commands["requirements"]


def test_a_worker_of_another_kind_joins_no_ospool() -> None:
    other = trial("prominence", "a name", "a.b.c", {})
    with pytest.raises(BadInput, match="joins no OSPool"):
        like_ospool(other, OSPOOL, has_role=False)


def test_each_transform_is_named_and_ends() -> None:
    text = access_point.TRANSFORMS
    listed = re.findall(r"^JOB_TRANSFORM_NAMES = \$\(JOB_TRANSFORM_NAMES\) (.*)$", text, re.MULTILINE)
    names = [name.strip() for row in listed for name in row.split(",")]
    assert re.findall(r"^JOB_TRANSFORM_(\w+) @=end$", text, re.MULTILINE) == names
    assert len(re.findall(r"^@end$", text, re.MULTILINE)) == len(names)
