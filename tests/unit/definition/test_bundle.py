"""A bundle is read elsewhere as what it was made from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bakery.bake.options import Options, make_plan
from bakery.definition import bundle, reading
from bakery.image.repositories import Replaced
from provisioner.packages.repositories import Key
from provisioner.roles.customization import Customization, SiteCommand, SiteFile, User
from tests.unit.definition.test_bad_definitions import SITE_KEY

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "site").glob("*.toml"))


def read_elsewhere(label: str, options: Options, folder: Path) -> Options:
    made = bundle.bundle(options)
    folder.mkdir()
    (folder / f"{label}.toml").write_text(made.text)
    for name, content in made.files.items():
        assert not Path(name).is_absolute() and ".." not in Path(name).parts
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, folder / name)
        else:
            (folder / name).write_bytes(content)
    [(again, read)] = reading.read([folder / f"{label}.toml"])
    assert again == label
    return read


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_have_the_same_plan_elsewhere(path: Path, tmp_path: Path) -> None:
    for label, options in reading.read([path]):
        read = read_elsewhere(label, options, tmp_path / label)
        assert read.customization == options.customization
        assert read.replaced == options.replaced
        assert make_plan(read)[1] == make_plan(options)[1]
        assert [one.read_bytes() for one in read.tests] == [one.read_bytes() for one in options.tests]


def test_all_values_of_a_customization(tmp_path: Path) -> None:
    own = Customization(
        packages=("a",),
        files=(
            SiteFile("/a", b"\xff", 0o4755, "a:b"),
            SiteFile("/b", b"\0"),
            SiteFile("/c", 'é"\\\n\x7f'.encode()),
        ),
        users=(User("a"), User("b", 7, "/", "/bin/sh", ("c",), system=True)),
        sysctl=(("net.ipv4.conf.*.rp_filter", "1"),),
        commands=(
            SiteCommand("t", ("sh", "-c", "a\nb"), phase="base"),
            SiteCommand("u", script=b"\x7fELF\0", phase="packages"),
            SiteCommand("v", script=b"#!/bin/sh\n"),
        ),
        condor=(("A", '"x" $(B)'),),
        root_size=10 << 40,
    )
    assert read_elsewhere("x", Options(customization=own), tmp_path / "x").customization == own
    assert read_elsewhere("y", Options(), tmp_path / "y") == Options()
    for size in (1 << 20, 3 << 29, 20 << 30):
        sized = Options(base="rocky9", customization=Customization(root_size=size))
        assert read_elsewhere("z", sized, tmp_path / f"{size}") == sized


def test_files_of_this_machine_are_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "pelican").write_text("#!/bin/sh\n")
    (tmp_path / "a.sources").write_text("Types: deb\nURIs: http://x.example/debian\nSuites: sid\n")
    options = Options(
        base="rocky9",
        optional=("ospool",),
        pelican=tmp_path / "pelican",
        apt_sources=(tmp_path / "a.sources",),
        replaced=Replaced(
            {"epel": "http://x.example"}, {"epel": Key("worker-epel", SITE_KEY.encode())}, keep=True
        ),
        output=tmp_path / "w.qcow2",
    )
    read = read_elsewhere("x", options, tmp_path / "x")
    assert read.replaced == options.replaced
    assert read.output is None
    assert read.pelican and read.pelican.read_text() == "#!/bin/sh\n"
    assert "x.example" in read.apt_sources[0].read_text()
    same = {"pelican": None, "apt_sources": (), "output": None}
    expected = replace(options, **same)  # type: ignore[arg-type]
    assert replace(read, **same, cvmfs=expected.cvmfs) == expected  # type: ignore[arg-type]
