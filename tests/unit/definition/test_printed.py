"""--print-definition: reading the printed file gives the options that were printed."""

from __future__ import annotations

import contextlib
import io
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bakery.bake.options import Options
from bakery.commands import bake, bake_options
from bakery.commands.command_line.settings import NO_SETTINGS
from bakery.definition import printed, reading
from provisioner.errors import BadInput

KEY = (Path(__file__).parents[3] / "examples/site/keys/site.asc").read_text()
SOURCES = "Types: deb\nURIs: http://x.example/debian\nSuites: sid\nComponents: main\n"


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The current folder, with files that options name."""
    made = tmp_path_factory.mktemp("printed")
    (made / "site.asc").write_text(KEY)
    (made / 'a "b" \\ü.sources').write_text(SOURCES)
    (made / "pelican").write_text("#!/bin/sh\n")
    (made / "disk.qcow2").write_bytes(b"a disk")
    with contextlib.chdir(made):
        yield


def words(*options: str) -> st.SearchStrategy[list[str]]:
    """The options, or none of them."""
    return st.sampled_from([[], list(options)])


BASES = st.sampled_from(
    [
        [],
        ["--base", "debian12"],
        ["--base", "rocky9", "--repository-key", "epel=site.asc"],
        ["--base", "rocky9", "--repository-url", "epel=http://x.example/epel", "--keep-repository-urls"],
        ["--base-image", "disk.qcow2", "--family", "el9"],
        ["--base-image", "disk.qcow2", "--family", "debian", "--login", "me", "--sha256", "A" * 64],
    ]
)
PARTS = st.tuples(
    BASES,
    st.sampled_from([[], ["--worker", "prominence"]]),
    st.lists(st.sampled_from(["nvidia", "apptainer", "cvmfs", "udocker", "ospool"]), max_size=4).map(
        lambda roles: [word for role in roles for word in ("--with", role)]
    ),
    words("--cvmfs-repositories", "atlas.cern.ch, cms.cern.ch"),
    words("--cvmfs-proxy", "http://squid.example:3128|auto;DIRECT"),
    words("--cvmfs-quota", "5000"),
    words("--pelican", "pelican"),
    words("--apt-source", 'a "b" \\ü.sources'),
    words("--arch", "amd64"),
    words("--format", "oci"),
    st.sampled_from([[], *(["--verify", level] for level in ("none", "offline", "boot", "pool", "clone"))]),
    words("-o", "o.qcow2"),
    words("--repository-url", "htcondor=http://x.example/y"),
    # Of the build host: no definition contains them.
    words("--engine", "packer"),
    words("--keep-failed"),
)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(PARTS)
def test_a_printed_definition_has_the_options(parts: tuple[list[str], ...]) -> None:
    argv = [word for part in parts for word in part]
    try:
        wanted = bake_options.options(bake_options.parser().parse_args(argv))
    except BadInput:
        assume(False)
        raise
    # Options that contradict each other are refused before anything is printed.
    assume(wanted.pelican is None or "ospool" in wanted.optional)
    assume(not wanted.apt_sources or wanted.optional)
    assume(wanted.level in ("none", "offline") or wanted.format == "qcow2")
    text = printed.text(wanted, {"epel": "site.asc"})
    Path("printed.toml").write_text(text)
    [(label, options)] = reading.read([Path("printed.toml")])
    assert label == "printed"
    found = bake_options.parser().parse_args(argv)
    assert bake_options.on_build_host(options, found, NO_SETTINGS) == _lower(wanted)


def _lower(options: Options) -> Options:
    """With the digest as the reader writes it."""
    own = options.base_image
    return options if own is None else replace(options, base_image=replace(own, sha256=own.sha256.lower()))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_can_be_quoted(text: str) -> None:
    assert tomllib.loads(f"a = {printed._string(text)}") == {"a": text}


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--base", "debian12", "--with", "udocker", "--verify", "pool", "--print-definition"]
    assert bake._main(argv, "bake-image") == 0
    assert capsys.readouterr().out == (
        'base = "debian12"\nworker = "osg"\nformat = "qcow2"\nverify = "pool"\n\n[roles.udocker]\n'
    )


def test_options_that_cannot_be_baked_are_not_printed() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(BadInput):
        bake._main(["--pelican", "pelican", "--print-definition"], "bake-image")
    assert out.getvalue() == ""


def test_a_definition_is_not_printed_again() -> None:
    with pytest.raises(BadInput, match="is for options, not for a definition file"):
        bake._main(["a.toml", "--print-definition"], "bake-image")
