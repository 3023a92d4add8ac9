"""The variables of a container."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from worker_runtime.configuration import condor_config, worker_file
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.container import inputs, variables

from tests.unit.worker.conftest import OSG, PROMINENCE

CANARY = "eyJ.canary-of-the-variable.cafe"


def read(environment: Mapping[str, str], kind: Kind) -> WorkerConfig:
    """Without a file."""
    given = variables.read(environment, kind.keys)
    return worker_file.check(given, kind.keys, variables.spelled(kind.keys, given, has_file=False))


SEED = {
    "PROMINENCE_CLOUD": "cloud", "PROMINENCE_REGION": "region", "PROMINENCE_NODE_GROUP": "group",
    "PROMINENCE_COLLECTOR": "192.0.2.9",
}  # fmt: skip


def test_the_seeds_variables_have_their_meaning() -> None:
    more = {
        "PROMINENCE_SCHEDD_NAME": "schedd",
        "PROMINENCE_JOB_ID": "a-1",
        "PROMINENCE_IDLE_TIMEOUT": "600",
    }
    conf = read({**SEED, **more, "PATH": "/bin"}, PROMINENCE)
    assert (conf.problems, conf.warnings) == ((), ())
    named = ("Cloud", "Region", "NodeGroup", "CentralManager", "ScheddName", "JobId", "IdleTimeout")
    assert [conf.values[name] for name in named] == [*SEED.values(), *more.values()]
    assert conf.values["TokenFile"] == "/etc/condor/tokens.d/token.jwt"


def test_an_empty_variable_is_not_set() -> None:
    """As `docker run -e PROMINENCE_JOB_ID=$job_id` makes it, where there is no job_id."""
    empty = {f"PROMINENCE_{name}": "" for name in ("SCHEDD_NAME", "JOB_ID", "IDLE_TIMEOUT", "TOKEN_FILE")}
    assert read({**SEED, **empty}, PROMINENCE) == read(SEED, PROMINENCE)


def test_all_that_is_wrong_with_the_variables_at_once() -> None:
    wrong = {
        "PROMINENCE_REGION": "", "PROMINENCE_CLOUD": "a\nb", "PROMINENCE_NODE_GROUP": "not UTF-8: \udcff",
        "PROMINENCE_JOB_ID": 'x" || True || "', "PROMINENCE_IDLE_TIMEOUT": "soon",
        "PROMINENCE_SCHEDD_NAME": "'quoted'", "PROMINENCE_JOBID": "1",
    }  # fmt: skip
    conf = read(wrong, PROMINENCE)
    control = "contains a control character (a tab, perhaps)"
    assert conf.problems == (
        "PROMINENCE_SCHEDD_NAME begins and ends with a quotation mark; docker's --env-file takes no quotes",
        f"PROMINENCE_CLOUD {control}",
        "PROMINENCE_REGION is empty",
        f"PROMINENCE_NODE_GROUP {control}",
        "PROMINENCE_COLLECTOR is missing",
        'PROMINENCE_JOB_ID contains a " or a backslash',
        "PROMINENCE_IDLE_TIMEOUT is not a whole number of seconds between 0 and 31622400",
    )
    assert conf.warnings == ("unknown variable, ignored: PROMINENCE_JOBID; did you mean PROMINENCE_JOB_ID?",)


@pytest.mark.parametrize("name", ["PROMINENCE_WORKER_TOKEN", "PROMINENCE_TOKEN_COMMAND"])
def test_a_token_from_elsewhere_is_instead_of_the_default_file(name: str) -> None:
    conf = read({**SEED, name: "/bin/cat"}, PROMINENCE)
    assert (conf.problems, conf.values["TokenFile"]) == ((), "")


OSG_SEED = {"OSG_WORKER_TOKEN": "a.b.c", "OSG_WORKER_START": "True"}


def test_each_key_has_a_variable_of_its_own() -> None:
    for kind, prefix in ((OSG, "OSG_WORKER_"), (PROMINENCE, "PROMINENCE_")):
        names = [key.variable for key in kind.keys]
        assert len(set(names)) == len(names)
        assert os.path.commonprefix(names) == prefix


def test_each_variable_of_an_osg_worker_sets_its_key() -> None:
    samples = {"seconds": "5", "yes|no": "no", "poweroff|stop|none|delete": "stop", "country": "DE", "path": "/t"}
    for key in OSG.keys:
        value = samples.get(key.kind, "a.b.c" if key.kind == "token" else "/x" if key.kind == "command" else "x")
        seed = {} if key.instead_of == "Token" else OSG_SEED
        conf = read({"OSG_WORKER_START": "True", **seed, key.variable: value}, OSG)
        assert (conf.values[key.setting], conf.problems, conf.warnings) == (value, (), ()), key.name


def test_what_is_missing_is_named_as_the_variable_of_a_container_without_a_file() -> None:
    assert read({}, OSG).problems == ("OSG_WORKER_TOKEN is missing", "OSG_WORKER_START is missing")
    both = {"OSG_WORKER_TOKEN": "a.b.c", "OSG_WORKER_TOKEN_FILE": "/t", "OSG_WORKER_START": "True"}
    assert read(both, OSG).problems == ("OSG_WORKER_TOKEN, OSG_WORKER_TOKEN_FILE: give only one of them",)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("OSG_WORKER_STRAT", "; did you mean OSG_WORKER_START?"),
        ("OSG_WORKER_WORKER_GROUP_NAME", "; did you mean OSG_WORKER_GROUP_NAME?"),
        ("osg_worker_start", "; did you mean OSG_WORKER_START?"),
        ("OSGWORKER_START", "; did you mean OSG_WORKER_START?"),
        ("OSG_WORKER_XYZZY", ""),
    ],
)
def test_a_wrong_variable_is_named_with_the_one_that_is_meant(name: str, hint: str) -> None:
    conf = read({**OSG_SEED, name: CANARY}, OSG)
    assert conf.warnings == (f"unknown variable, ignored: {name}{hint}",)


def test_variables_of_others_are_no_matter() -> None:
    others = {"PATH": "/bin", "HOSTNAME": "c0ffee", "START": "x", "OSG_PROJECT_NAME": "x", "WORKER": "x"}
    assert read({**OSG_SEED, **others}, OSG).warnings == ()


@pytest.fixture
def kind(tmp_path: Path) -> Kind:
    file = tmp_path / "osg-worker.conf"
    file.write_text("Token = d.e.f\nStart = False\nWorkerGroupName = of the file\n")
    return OSG._replace(file=str(file))


def test_a_variable_overrides_its_key_of_the_file_and_says_so(kind: Kind) -> None:
    env = {"OSG_WORKER_START": "True", "OSG_WORKER_TOKEN_FILE": "/t", "OSG_WORKER_SITE_NAME": ""}
    conf = inputs.read_inputs(kind, env)
    assert conf.problems == ()
    shown = ("Start", "Token", "TokenFile", "WorkerGroupName", "SiteName")
    assert [conf.values[name] for name in shown] == ["True", "", "/t", "of the file", ""]
    where = f"{kind.file} and the variables: "
    assert conf.warnings == (
        f"{where}the variable OSG_WORKER_TOKEN_FILE overrides Token",
        f"{where}the variable OSG_WORKER_START overrides Start",
    )


def test_problems_of_both_are_named_as_each_is_written(kind: Kind) -> None:
    Path(kind.file).write_text("Token = d.e.f\nIdleTimeout = soon\nStrat = True\n")
    conf = inputs.read_inputs(kind, {"OSG_WORKER_JOIN_TIMEOUT": "later"})
    assert sorted(problem.partition(": ")[2].split()[0] for problem in conf.problems) == [
        "IdleTimeout",
        "OSG_WORKER_JOIN_TIMEOUT",
        "Start",
    ]
    Path(kind.file).write_bytes(b"\xff")
    assert inputs.read_inputs(kind, {}).problems == (f"{kind.file}: line 1: not UTF-8 text",)


def test_a_token_in_the_environment_is_warned_of_and_never_shown(kind: Kind) -> None:
    Path(kind.file).unlink()
    said = inputs.load(kind, {"OSG_WORKER_TOKEN": CANARY}, condor_config.Machine(0, {}))
    assert any("docker inspect shows" in warning for warning in said.warnings)
    assert "OSG_WORKER_START is missing" in said.problems
    assert not any(CANARY in text for text in (*said.warnings, *said.problems))
