"""A Start means the same to HTCondor's library alone and with all that its daemons add to it."""

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

# Those that say whose each attribute is are judged without htcondor2; those that do not, with it.
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
JUDGED = """\
import json, sys
from bakery.userdata.matchmaking.matching import answer, parse
answers = [answer(parse(text)) for text in json.loads(sys.argv[1])]
print(json.dumps([answers, "htcondor2" in sys.modules]))
"""


def judged(texts: list[str], before: str = "") -> tuple[list[str], bool]:
    """Their answers by a Python of their own, and whether that has loaded what daemons know."""
    script = call([sys.executable, "-P", "-c", before + JUDGED, json.dumps(texts)]).stdout
    answers, loaded = json.loads(script)
    return answers, loaded


def test_the_library_alone_says_what_daemons_say() -> None:
    alone, loaded = judged(SCOPED)
    assert not loaded
    assert (alone, True) == judged(SCOPED, "import htcondor2\n")
    assert set(alone) == {"yes", "no", "undefined", "error"}


@pytest.mark.parametrize("text", UNSCOPED)
def test_what_only_daemons_know_is_loaded_by_itself(text: str) -> None:
    assert judged([text]) == judged([text], "import htcondor2\n")
    assert judged([text])[1]


# Of the image's HTCondor, which is older than the library here; $1 is the image's root, read-only.
ASKED = """\
set -e
mount -t tmpfs tmpfs "$1/tmp"
printf %s "$2" >"$1/tmp/worker.ad"
printf %s "$3" >"$1/tmp/job.ad"
chroot "$1" classad_eval -my-file /tmp/worker.ad -target-file /tmp/job.ad "$4" | tail -n 1
"""
SAID = {"true": "yes", "false": "no", "undefined": "undefined", "error": "error"}
JUDGED_BY_BOTH = [
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


def said_by_the_image(root: Path, text: str, pair: Pair) -> str:
    ads = [ad({**samples.WORKER, **pair.worker}), ad({**samples.JOB, **pair.job})]
    ended = call(sandbox_argv(["sh", "-c", ASKED, "sh", str(root), *ads, text]))
    return SAID[ended.stdout.strip()]


@pytest.mark.parametrize("text", JUDGED_BY_BOTH)
def test_the_htcondor_of_the_image_judges_likewise(text: str, image_root: Path) -> None:
    assert said_by_the_image(image_root, text, SAMPLES) == answer(parse(text))
    if pair := fitting.first(Search(text)):
        assert said_by_the_image(image_root, text, pair) == "yes"
