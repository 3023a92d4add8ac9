"""Drawn values of the page's form, and the command line of gen-userdata that asks for the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from bakery.page.places import PLACES
from tests.integration.userdata.test_userdata_property import FRAGMENTS, HOSTILE

_TEXTS = """
token projects owners expression group_name pool_host trust_domain idle_minutes join_minutes max_hours
gpu_jobs_only prominence_cloud region node_group schedd_name job_id
"""
EMPTY: Mapping[str, str] = {
    **dict.fromkeys(_TEXTS.split(), ""),
    "worker": "osg",
    "jobs": "named",
    "pool": "",
    "place": "horizon",
    "format": "script",
}


@dataclass(frozen=True)
class Case:
    """The values of the form's elements by their ids; the token is not among the words."""

    form: Mapping[str, str]

    @property
    def argv(self) -> list[str]:
        form = self.form
        words = ["--worker", form["worker"], "--format", form["format"]]
        prominence = form["worker"] == "prominence"
        if prominence:
            words += self._given("prominence_cloud", flag="cloud")
            for name in ("region", "node_group", "schedd_name", "job_id"):
                words += self._given(name)
        else:
            words += [f"--cloud={PLACES[form['place']].cloud}", *self._given("group_name"), *self._jobs()]
        for name in ("idle_minutes", "join_minutes", "max_hours"):
            words += [f"--{name.replace('_', '-')}={number}"] if (number := form[name].strip()) else []
        gpu_jobs_only = "PROMINENCE_GPU_JOBS_ONLY" if prominence else "GpuJobsOnly"
        words += [f"--set={gpu_jobs_only}={form['gpu_jobs_only']}"] if form["gpu_jobs_only"] else []
        other = prominence or form["pool"] == "other"
        pool = form["pool_host"] if other else form["pool"]
        # Without a host, "Another pool" must not mean the OSPool.
        words += [f"--pool={pool}"] if pool or (other and not prominence) else []
        shown = other or form["pool"]
        return words + (self._given("trust_domain") if shown else [])

    def _given(self, name: str, flag: str = "") -> list[str]:
        value = self.form[name]
        return [f"--{flag or name.replace('_', '-')}={value}"] if value else []

    def _jobs(self) -> list[str]:
        if self.form["jobs"] == "anyone":
            return ["--anyone"]
        named = [f"--project={one}" for one in re.sub("[,;]", " ", self.form["projects"]).split()]
        named += [f"--owner={one}" for one in re.sub("[,;]", " ", self.form["owners"]).split()]
        return named + ([f"--start={self.form['expression']}"] if self.form["expression"] else [])


def one_line(text: str) -> str:
    """What a field of a browser keeps of a text, and a command line: no line breaks, no NUL."""
    return "".join(one for one in text if one not in "\r\n\0" and not 0xD800 <= ord(one) < 0xE000)


def cases(tokens: Sequence[str]) -> st.SearchStrategy[Case]:
    """Return forms: what people fill in, with up to two wrong or hostile values in it."""
    osg = st.fixed_dictionaries({**_SHARED, **_OSG, "token": st.sampled_from(list(tokens))})
    prominence = st.fixed_dictionaries({**_SHARED, **_PROMINENCE, "token": st.sampled_from(list(tokens))})
    return st.builds(_changed, st.one_of(osg, osg, osg, prominence), _changes())


def _changed(form: Mapping[str, str], changes: Mapping[str, str]) -> Case:
    return Case({**EMPTY, **form, **changes})


def _changes() -> st.SearchStrategy[dict[str, str]]:
    hostile = st.one_of(HOSTILE, st.sampled_from(FRAGMENTS), st.just("<img src=x onerror=alert(1)>"))
    text = hostile.map(one_line).filter(lambda one: len(one) < 500)
    names = st.sampled_from(_TEXTS.replace("gpu_jobs_only", "").split())
    named = st.tuples(names, text)
    wrong = st.sampled_from(sorted(_WRONG)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(_WRONG[name]))
    )
    return st.lists(st.one_of(named, wrong), max_size=2).map(dict)


_NUMBERS = st.sampled_from(["", "", "20", "1.5"])
_SHARED: Mapping[str, st.SearchStrategy[str]] = {
    "idle_minutes": _NUMBERS,
    "join_minutes": _NUMBERS,
    "max_hours": _NUMBERS,
    "gpu_jobs_only": st.sampled_from(["", "yes", "no"]),
    "place": st.sampled_from(sorted(PLACES)),
    "format": st.sampled_from(["script", "cloud-config", "mime", "conf"]),
}
_OSG: Mapping[str, st.SearchStrategy[str]] = {
    "jobs": st.sampled_from(["named", "named", "named", "anyone"]),
    # TG-XXX is a placeholder, of which both warn.
    # TG-XXX is one that people forget to replace: an error is wanted.
    "projects": st.sampled_from(["TG-ABC123", "TG-A TG-B", "abc123456", "TG-XXX", "a,b c;d"]),
    "owners": st.sampled_from(["", "ann", "ann bob"]),
    "expression": st.sampled_from(
        ["", "", "TARGET.RequestCpus >= 4", 'regexp("^TG-", TARGET.ProjectName)', 'TARGET.Owner != "bob"']
    ),
    "group_name": st.sampled_from(["", "My Test Workers", 'Bakery\'s "proof" $(run)', "漢字 🐿"]),
    "pool": st.sampled_from(["", "", "ospool-itb", "path-facility", "other"]),
    "pool_host": st.sampled_from(["cm.example.edu", "cm.example.edu:9618,cm2.example.edu", "[::1]"]),
    "trust_domain": st.sampled_from(["", "", "flock.opensciencegrid.org"]),
}
_PROMINENCE: Mapping[str, st.SearchStrategy[str]] = {
    "worker": st.just("prominence"),
    "pool_host": _OSG["pool_host"],
    "prominence_cloud": st.sampled_from(["my-cloud", "ec2"]),
    "region": st.just("my region"),
    "node_group": st.just("g"),
    "schedd_name": st.sampled_from(["", "schedd.example.org"]),
    "job_id": st.sampled_from(["", "1234"]),
}
_WRONG: Mapping[str, Sequence[str]] = {
    "expression": (
        *("true", "1 +", "TARGET.A B", "A = 1", "((1)", "TARGET.RequestCpu > 2", "time() > 5", "false"),
        *("TARGET.ProjectName == TG-ABC123", "member(1, {1})", "1K < 2", "TARGET.Owner + 1", "is"),
    ),
    "pool_host": ("osppool", "ospool,cm", "a b", "", "x:0"),
    "projects": ("", "a!", "TG\u2013ABC123"),
    "idle_minutes": ("0", "x", "-1", "0.001"),
    "max_hours": ("0", "4000", "1e3"),
    "trust_domain": ("cm.example.edu", "a b"),
    "region": ("",),
    "job_id": ("a b",),
}
