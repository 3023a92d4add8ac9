"""Named pools: the built-in ones, those of a site, and invalid names."""

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
    """The path of the file of the site."""
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
def test_the_user_data_and_the_worker_agree_on_a_pool(pool: pools.Pool) -> None:
    """The user-data and the table of the worker give the same configuration."""
    guest.kind_of("osg")
    from worker_runtime.configuration import condor_config

    made = conf(pool.name)
    written = {"CentralManager": made.central_manager, **made.settings}
    plain = {"CentralManager": ",".join(pool.managers), "CCBAddress": "", "TrustDomain": ""}
    by_table, by_file = (
        condor_config.pool(guest.kind_of("osg"), {**plain, **values}, 7) for values in ({}, written)
    )
    assert by_file == by_table
    assert request.pool_of(made) == pool
    assert summary.condor_status(made).split()[:3] == ["condor_status", "-pool", pool.condor_status]


def test_the_default_is_the_ospool() -> None:
    made = conf(None)
    assert (made.central_manager, made.settings) == ("", {})
    assert request.pool_of(made) == pools.built_in()[0]
    assert request.trust_domain_of(made) == "flock.opensciencegrid.org"


def test_a_former_central_manager() -> None:
    made = conf("flock.opensciencegrid.org")
    assert (made.central_manager, made.settings) == ("flock.opensciencegrid.org", {})
    assert summary.condor_status(made) == "condor_status -pool flock.opensciencegrid.org"
    message = pools.former_manager_note("flock.opensciencegrid.org:9618")
    assert "cm-1.ospool.osg-htc.org and cm-2.ospool.osg-htc.org (--pool ospool, the default)" in message
    assert pools.former_manager_note("cm.example.org") == ""


def test_hosts_are_not_changed(site: Path) -> None:
    made = conf("cm.example.org,cm-2.example.org:9619")
    assert (made.central_manager, made.settings) == ("cm.example.org,cm-2.example.org:9619", {})
    assert summary.condor_status(made) == "condor_status -pool cm.example.org"
    assert request.trust_domain_of(made) == ""


def test_a_pool_of_the_site(site: Path) -> None:
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


def test_a_site_may_replace_a_built_in_pool(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    ("text", "message"),
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
def test_an_invalid_file(text: str, message: str, site: Path) -> None:
    site.write_text(text)
    with pytest.raises(BadInput) as caught:
        conf("ospool")
    assert message in str(caught.value)
    assert str(site) in str(caught.value)
    # Without --pool, the file is not read.
    conf(None)


def test_a_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pools.VARIABLE, "/no/such/pools.toml")
    with pytest.raises(BadInput, match=r"names /no/such/pools\.toml, which is not a file"):
        conf("ospool")
