"""Pools by their names: those that ship, a site's own, and names that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.userdata import guest, pools, request, summary
from bakery.userdata.rendering import WorkerConf
from bakery.userdata.request import Request
from provisioner.errors import BadInput

CAMPUS = """
[[pool]]
name = "campus"
title = "our pool"
managers = ["cm-1.example.edu", "cm-2.example.edu:9619", "[2001:db8::1]"]
manager_socket = "collector1-4"
brokers = ["ccb.example.edu"]
trust_domain = "example.edu"
registry = "https://tokens.example.edu"
condor_status = "status.example.edu:9620"
sources = ["2026-11-28 our own"]
"""


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where its file would be."""
    monkeypatch.delenv(pools.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "worker-bakery" / "pools.toml"
    path.parent.mkdir()
    return path


def conf(pool: str | None, **more: str) -> WorkerConf:
    return request.conf_of(Request(token="a.b.c", anyone=True, pool=pool, settings=more))


def test_the_names() -> None:
    assert pools.names(pools.known()) == ("ospool", "ospool-itb", "path-facility", "path-dev")


@pytest.mark.parametrize("pool", pools.built_in(), ids=lambda pool: pool.name)
def test_the_worker_makes_of_a_named_pool_what_it_knows_of_it(pool: pools.Pool) -> None:
    """What is written into the user-data and the worker's own table come to the same."""
    guest.kind_of("osg")
    from worker_runtime.configuration import condor_config

    made = conf(pool.name)
    written = {"CentralManager": made.central_manager, **made.settings}
    plain = {"CentralManager": ",".join(pool.managers), "CCBAddress": "", "TrustDomain": ""}
    by_table, by_file = (
        condor_config.pool(guest.kind_of("osg"), {**plain, **said}, 7) for said in ({}, written)
    )
    assert by_file == by_table
    assert request.pool_of(made) == pool
    assert summary.condor_status(made).split()[:3] == ["condor_status", "-pool", pool.condor_status]


def test_without_a_word_it_is_the_ospool_and_nothing_is_written() -> None:
    made = conf(None)
    assert (made.central_manager, made.settings) == ("", {})
    assert request.pool_of(made) == pools.built_in()[0]
    assert request.trust_domain_of(made) == "flock.opensciencegrid.org"


def test_the_name_of_before_works_and_is_explained() -> None:
    made = conf("flock.opensciencegrid.org")
    assert (made.central_manager, made.settings) == ("flock.opensciencegrid.org", {})
    assert summary.condor_status(made) == "condor_status -pool flock.opensciencegrid.org"
    said = pools.former_manager_note("flock.opensciencegrid.org:9618")
    assert "cm-1.ospool.osg-htc.org and cm-2.ospool.osg-htc.org (--pool ospool, the default)" in said
    assert pools.former_manager_note("cm.example.org") == ""


def test_hosts_are_taken_as_they_are(site: Path) -> None:
    made = conf("cm.example.org,cm-2.example.org:9619")
    assert (made.central_manager, made.settings) == ("cm.example.org,cm-2.example.org:9619", {})
    assert summary.condor_status(made) == "condor_status -pool cm.example.org"
    assert request.trust_domain_of(made) == ""


def test_a_site_s_own(site: Path) -> None:
    site.write_text(CAMPUS)
    made = conf("campus")
    assert made.central_manager == (
        "cm-1.example.edu:9618?sock=collector1-4,cm-2.example.edu:9619?sock=collector1-4,"
        "[2001:db8::1]:9618?sock=collector1-4"
    )
    assert made.settings == {"CCBAddress": "ccb.example.edu", "TrustDomain": "example.edu"}
    assert summary.condor_status(made) == "condor_status -pool status.example.edu:9620"
    assert request.trust_domain_of(conf("cm-1.example.edu")) == "example.edu"
    assert conf("campus", TrustDomain="other").settings["TrustDomain"] == "other"


def test_a_site_may_say_otherwise_of_a_pool_that_ships(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = site.with_name("mine.toml")
    elsewhere.write_text('[[pool]]\nname = "ospool"\nmanagers = ["moved.example.org"]\n')
    monkeypatch.setenv(pools.VARIABLE, str(elsewhere))
    assert conf("ospool").central_manager == "moved.example.org"


@pytest.mark.parametrize(
    ("name", "meant"), [("ospol", "ospool"), ("OSPool", "ospool"), ("path", "path-dev or path-facility")]
)
def test_a_misspelled_name(name: str, meant: str) -> None:
    with pytest.raises(BadInput, match=f"There is no pool '{name}'. Did you mean {meant}?"):
        conf(name)


@pytest.mark.parametrize("host", ["cm", "ospol:9618", "localhost"])
def test_a_host_without_a_domain_is_a_host(host: str) -> None:
    assert conf(host).central_manager == host


ROW = '[[pool]]\nname = "x"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[pool", "cannot be read: Expected"),
        ("pool = 1", "must consist of"),
        ("pools = 1", ", not 'pools'"),
        ("", "must consist of"),
        (ROW, "pool 1: managers is missing"),
        ('[[pool]]\nmanagers = ["a"]', "pool 1: name is missing"),
        (f'{ROW}managers = ["a"]\n{ROW}manager = ["a"]', "pool 2: unknown key 'manager'. Did you mean"),
        (f'{ROW}managers = "a"', "managers is not a list of strings"),
        (f'{ROW}managers = ["a b"]', "pool 1: managers is not a host address"),
        (f'{ROW}managers = ["a"]\nbrokers = ["b:0"]', "pool 1: brokers"),
        (f'{ROW}managers = ["a"]\ntrust_domain = "a b"', "trust_domain is not the name"),
        (f'{ROW}managers = ["a"]\nbroker_socket = "a$b"', "broker_socket must have the form collector1-10"),
        (f'{ROW}managers = ["a"]\nregistry = "ftp://x"', "registry must be an https:// URL"),
        (f'{ROW}managers = ["a"]\ntitle = 5', "title is not a string"),
        ('[[pool]]\nname = "a.b"\nmanagers = ["a"]', "name must consist of lower-case letters"),
    ],
)
def test_a_bad_file(text: str, said: str, site: Path) -> None:
    site.write_text(text)
    with pytest.raises(BadInput) as caught:
        conf("ospool")
    assert said in str(caught.value)
    assert str(site) in str(caught.value)
    # Who names no pool does not need it.
    conf(None)


def test_a_file_that_is_named_and_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pools.VARIABLE, "/no/such/pools.toml")
    with pytest.raises(BadInput, match=r"names /no/such/pools\.toml, which is not a file"):
        conf("ospool")
