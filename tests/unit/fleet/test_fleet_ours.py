"""Nothing that is not ours is ever deleted: over names, tags, metadata, projects and states."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bakery.fleet import marks, reaping, scaling, servers, states
from bakery.fleet.marks import Mark
from bakery.fleet.states import Pools

NOW = 1_800_000_000.0
OURS = Mark("0a1b2c3d4e5f", "mine", "cm.example.edu", 900, 3600)
LAUNCHES = ("0a1b2c3d4e5f", "ffffffffffff", "0A1B2C3D4E5F", "0a1b2c3d4e5", "", "x" * 12)
TAGS = st.lists(
    st.sampled_from(
        ("worker-bakery", *(f"worker-bakery-{one}" for one in LAUNCHES), "worker", "WORKER-BAKERY")
    )
)
KEYS = st.sampled_from(("launch", "group", "pool", "join", "lifetime", "other"))
VALUES = st.sampled_from(
    (*LAUNCHES, "mine", "900", "0", "-1", "1e3", "\uff19\uff10\uff10", "cm.example.edu")
)
METADATA = st.one_of(
    st.just(OURS.metadata),
    st.dictionaries(KEYS.map(lambda key: f"{marks.PREFIX}{key}"), VALUES),
    st.dictionaries(KEYS, VALUES),
    st.tuples(st.just(OURS.metadata), KEYS, VALUES).map(
        lambda one: {**one[0], f"{marks.PREFIX}{one[1]}": one[2]}
    ),
)
SERVERS = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "name": st.sampled_from(("mine-0a1b2c3d4e5f-1", "precious", "worker-bakery", "")),
        "tenant_id": st.sampled_from(("ours", "theirs")),
        "status": st.sampled_from(("ACTIVE", "SHUTOFF", "ERROR", "BUILD", "SHELVED_OFFLOADED", "UNKNOWN")),
        "created": st.sampled_from(("2020-01-01T00:00:00Z", "2027-01-15T07:59:00Z")),
        "updated": st.just("2020-01-01T00:00:00Z"),
        "tags": st.one_of(st.just(list(OURS.tags)), TAGS),
        "metadata": METADATA,
        "OS-EXT-STS:power_state": st.sampled_from((0, 1, 4)),
    }
)


def is_ours(server: dict[str, Any]) -> bool:
    """By the rule, not by the code under test: both tags, and metadata of the same launch."""
    launch = server["metadata"].get("worker_bakery_launch", "")
    well_formed = len(launch) == 12 and set(launch) <= set("0123456789abcdef")
    tagged = "worker-bakery" in server["tags"] and f"worker-bakery-{launch}" in server["tags"]
    return bool(well_formed and tagged and server["tenant_id"] == "ours")


@given(st.lists(SERVERS, max_size=8), st.booleans(), st.booleans())
def test_whatever_is_deleted_is_ours(found: list[dict[str, Any]], force: bool, answers: bool) -> None:
    ours = [one for server in found if (one := servers.of(server, "ours"))]
    pools = Pools(since={"cm.example.edu": 0.0, "": 0.0} if answers else {})
    members = states.members(ours, pools, NOW)
    doomed = {
        one.member.server.id
        for one in reaping.verdicts(members, reaping.Policy(0, force), NOW)
        if one.delete
    }
    doomed |= {one.member.server.id for one in reaping.requested(members, "", force=force) if one.delete}
    doomed |= {one.server.id for one in scaling.surplus(members, 0, force=force)}
    assert doomed <= {server["id"] for server in found if is_ours(server)}


@given(st.text(max_size=60), st.from_regex(r"[0-9a-f]{12}", fullmatch=True), st.integers(0, 10**9))
def test_marks_say_what_they_were_given(group: str, launch: str, seconds: int) -> None:
    mark = Mark(launch, group, "cm-1.example.edu,[2001:db8::1]:9619", seconds, seconds)
    assert marks.of(mark.tags, mark.metadata) == mark
    assert all(value.isascii() and value.isprintable() for value in mark.metadata.values())
    for name in marks.names(group, launch, 3):
        assert len(name) <= 63 and name.replace("-", "").isalnum() and name[0] != "-" and name.isascii()


def test_marks_without_one_of_them_are_none() -> None:
    assert marks.of(OURS.tags, OURS.metadata) == OURS
    for tag in OURS.tags:
        assert marks.of([one for one in OURS.tags if one != tag], OURS.metadata) is None
    for key in OURS.metadata.keys() - {"worker_bakery_group", "worker_bakery_pool"}:
        assert marks.of(OURS.tags, {**OURS.metadata, key: ""}) is None


def test_server_groups_are_those_of_a_launch() -> None:
    name = marks.server_group(OURS.launch, 2)
    for made in (name, marks.dated(name, NOW)):  # as older versions have named them, too
        assert marks.launch_of_group(made) == OURS.launch
    assert marks.date_of_group(marks.dated(name, NOW)) == NOW and marks.date_of_group(name) is None
    assert marks.launch_of_group("worker-bakery-mine-2") == ""


GROUP_NAMES = st.one_of(
    st.sampled_from(LAUNCHES).map(lambda launch: marks.dated(marks.server_group(launch, 1), NOW - 10**6)),
    st.builds(
        marks.dated, st.just(marks.server_group(OURS.launch, 1)), st.integers(int(NOW) - 2000, int(NOW))
    ),
    st.sampled_from(("precious", "worker-bakery", "worker-bakery-0a1b2c3d4e5f-1", "")),
    st.text(max_size=40),
)
GROUPS = st.fixed_dictionaries({"name": GROUP_NAMES, "members": st.lists(st.just("a server"), max_size=1)})


@given(st.lists(GROUPS, max_size=8), st.sampled_from(("", OURS.launch, "ffffffffffff")))
def test_whatever_server_group_is_deleted_is_ours_old_and_empty(
    found: list[dict[str, Any]], launch: str
) -> None:
    ours = [one for one in found if marks.launch_of_group(one["name"])]  # as Api.server_groups
    for one in reaping.abandoned(ours, launch, reaping.Policy(900), NOW):
        prefix, _, date = one["name"].rpartition("-at-")
        assert prefix.startswith(f"worker-bakery-{launch}") and not one["members"]
        assert int(date) < NOW - 900
