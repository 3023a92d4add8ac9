"""HTCondor's library alone evaluates a Start as with the functions of its daemons."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bakery.userdata.matchmaking import fitting, samples
from bakery.userdata.matchmaking.fitting import Search
from bakery.userdata.matchmaking.matching import SAMPLES, Pair, answer, parse
from bakery.userdata.matchmaking.suggestions import literal
from provisioner.process.run import call, sandbox_argv

# Expressions with a scope for each attribute are evaluated without htcondor2, the others with it.
SCOPED = [
    'TARGET.ProjectName == "TG-A"',
    'TARGET.ProjectName != "TG-A" || TARGET.JobPrio >= 0',
    "MY.Memory > 1000 && TARGET.RequestMemory < MY.Memory",
    "MY.Owner",
    "TARGET.Wish =?= undefined",
    'regexp("^some", TARGET.Owner) && member(TARGET.Owner, {"somebody"})',
    "(TARGET.Wish ?: 5) > 4",
    "ifThenElse(isUndefined(TARGET.RequestGPUs), MY.GPUs == 0, false)",
    "!TARGET.WantFlocking",
    "TARGET.Owner > 5",
    "TARGET.JobPrio > 5",
    "nosuch(1)",
]
UNSCOPED = [
    "NODE_IS_HEALTHY && TotalCpus >= 8",
    'stringListMember("MySite", TARGET.DESIRED_Sites)',
    'Owner == "somebody"',
]
EVALUATE = """\
import json, sys
from bakery.userdata.matchmaking.matching import answer, parse
answers = [answer(parse(text)) for text in json.loads(sys.argv[1])]
print(json.dumps([answers, "htcondor2" in sys.modules]))
"""


def evaluated(texts: list[str], before: str = "") -> tuple[list[str], bool]:
    """Evaluate in a new Python. Return the answers, and whether it loaded htcondor2."""
    script = call([sys.executable, "-P", "-c", before + EVALUATE, json.dumps(texts)]).stdout
    answers, loaded = json.loads(script)
    return answers, loaded


def test_the_library_alone_answers_as_daemons_do() -> None:
    alone, loaded = evaluated(SCOPED)
    assert not loaded
    assert (alone, True) == evaluated(SCOPED, "import htcondor2\n")
    assert set(alone) == {"yes", "no", "undefined", "error"}


@pytest.mark.parametrize("text", UNSCOPED)
def test_the_functions_of_daemons_are_loaded_when_needed(text: str) -> None:
    assert evaluated([text]) == evaluated([text], "import htcondor2\n")
    assert evaluated([text])[1]


# With the HTCondor of the image, which is older than this library; $1 is the root of the image, read-only.
SCRIPT = """\
set -e
mount -t tmpfs tmpfs "$1/tmp"
printf %s "$2" >"$1/tmp/worker.ad"
printf %s "$3" >"$1/tmp/job.ad"
chroot "$1" classad_eval -my-file /tmp/worker.ad -target-file /tmp/job.ad "$4" | tail -n 1
"""
ANSWERS = {"true": "yes", "false": "no", "undefined": "undefined", "error": "error"}
EVALUATED_BY_BOTH = [
    *(text for text in SCOPED if text != "MY.Owner"),
    *UNSCOPED,
    "TARGET.SingularityImage isnt undefined && TARGET.RequestCpus > 3",
    "TARGET.JobPrio > 0 && TARGET.WantFlocking",
    "GPUs > 0 && TARGET.RequestGPUs > 0",
    'TARGET.ProjectName =!= "TG-A" && Memory > 64000',
    'regexp("^TG-[A-Z]{3}[0-9]{6}$", ProjectName) && stringListMember(Owner, "ann,bob")',
]


def ad(values: Mapping[str, Any]) -> str:
    rows = {
        name: one.text if isinstance(one, samples.Expression) else literal(one)
        for name, one in values.items()
        if one is not None
    }
    return "[ " + "; ".join(f"{name} = {text}" for name, text in rows.items()) + " ]"


def answer_of_the_image(root: Path, text: str, pair: Pair) -> str:
    ads = [ad({**samples.WORKER, **pair.worker}), ad({**samples.JOB, **pair.job})]
    ended = call(sandbox_argv(["sh", "-c", SCRIPT, "sh", str(root), *ads, text]))
    return ANSWERS[ended.stdout.strip()]


@pytest.mark.parametrize("text", EVALUATED_BY_BOTH)
def test_the_htcondor_of_the_image_answers_alike(text: str, image_root: Path) -> None:
    assert answer_of_the_image(image_root, text, SAMPLES) == answer(parse(text))
    if pair := fitting.first(Search(text)):
        assert answer_of_the_image(image_root, text, pair) == "yes"
