"""What definition files mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bakery.bake.options import LocalBase, Options, check, make_plan
from bakery.definition import model, reading
from bakery.image import openpgp
from bakery.runtime import data
from provisioner.roles import CvmfsClient
from provisioner.roles.customization import Customization, SiteCommand, SiteFile, User

EXAMPLES = Path(__file__).parents[3] / "examples" / "site"


def one(folder: Path, text: str) -> Options:
    (folder / "worker.toml").write_text(text)
    [(_, options)] = reading.read([folder / "worker.toml"])
    return options


def labels(folder: Path, text: str) -> list[str]:
    (folder / "worker.toml").write_text(text)
    return [label for label, _ in reading.read([folder / "worker.toml"])]


def test_the_shortest_definition_is_the_default_image(tmp_path: Path) -> None:
    assert one(tmp_path, 'base = "debian13"') == Options()
    assert one(tmp_path, 'format = "oci"') == Options(format="oci", level="offline")
    assert labels(tmp_path, 'base = "debian13"') == ["worker"]


def test_a_byte_order_mark_and_crlf_are_read(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_bytes(b'\xef\xbb\xbfworker = "prominence"\r\nbase = "debian12"\r\n')
    [(_, options)] = reading.read([tmp_path / "w.toml"])
    assert (options.kind, options.base) == ("prominence", "debian12")


def test_values_of_a_customization(tmp_path: Path) -> None:
    options = one(
        tmp_path,
        """
        name = "w"
        version = "3"
        root-size = "20G"
        packages = ["b", "a", "b"]
        kernel-arguments = ["a=1"]
        [condor]
        A = true
        B = 1.5
        [worker-defaults]
        IdleTimeout = 60
        MetadataGuard = false
        [sysctl]
        net.ipv4.ip_forward = 0
        "vm.swappiness" = "10"
        [services]
        enable = ["chrony", "getty@tty1", "a.timer"]
        mask = ["b.service"]
        [[users]]
        name = "alice"
        groups = ["adm"]
        [[files]]
        path = "/etc/a"
        text = "x"
        mode = "4755"
        owner = "alice:adm"
        [[files]]
        path = "/etc/b"
        text = "$x $$y ${x}"
        template = true
        [[files]]
        path = "/etc/c"
        text = "$x"
        [variables]
        x = "1"
        [[commands]]
        title = "t"
        argv = ["sh", "-c", "a\\nb"]
        phase = "base"
        """,
    )
    assert options.customization == Customization(
        name="w",
        version="3",
        root_size=20 * 2**30,
        packages=("b", "a"),
        kernel_arguments=("a=1",),
        condor=(("A", "True"), ("B", "1.5")),
        worker=(("IdleTimeout", "60"), ("MetadataGuard", "no")),
        sysctl=(("net.ipv4.ip_forward", "0"), ("vm.swappiness", "10")),
        services=(
            ("chrony.service", "enable"),
            ("getty@tty1.service", "enable"),
            ("a.timer", "enable"),
            ("b.service", "mask"),
        ),
        users=(User("alice", groups=("adm",)),),
        files=(
            SiteFile("/etc/a", b"x", 0o4755, "alice:adm"),
            SiteFile("/etc/b", b"1 $y 1"),
            SiteFile("/etc/c", b"$x"),
        ),
        commands=(SiteCommand("t", ("sh", "-c", "a\nb"), phase="base"),),
    )


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "definitions"
    folder.mkdir()
    for name in ("a", "test_t.py", "pelican", "disk"):
        (folder / name).write_text(name)
    (tmp_path / "b").write_text("b")
    text = f"""
        tests = ["test_t.py"]
        output = "w.qcow2"
        [base]
        path = "disk"
        family = "debian"
        [roles.ospool]
        pelican = "pelican"
        [[files]]
        path = "/a"
        source = "a"
        [[files]]
        path = "/b"
        source = "../b"
        [[files]]
        path = "/c"
        source = "{tmp_path}/b"
    """
    monkeypatch.chdir(tmp_path)
    options = one(Path("definitions"), text)
    assert options.tests == (Path("definitions/test_t.py"),)
    assert options.output == Path("definitions/w.qcow2")
    assert options.pelican == Path("definitions/pelican")
    assert options.base_image == LocalBase(Path("definitions/disk"), "debian")
    assert [file.data for file in options.customization.files] == [b"a", b"b", b"b"]


def test_a_base_may_be_a_toml_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text((data.BASES / "debian12.toml").read_text())
    assert one(tmp_path, 'base = "mine.toml"').base == str(tmp_path / "mine.toml")


def test_settings_of_cvmfs(tmp_path: Path) -> None:
    table = '[roles.cvmfs]\nrepositories = ["a.cern.ch", "b.cern.ch"]\nproxy = "DIRECT"\nquota = 5000'
    options = one(tmp_path, table)
    assert options.optional == ("cvmfs",)
    assert options.cvmfs == CvmfsClient(("a.cern.ch", "b.cern.ch"), "DIRECT", 5000)
    own = one(tmp_path, '[roles.ospool]\ncvmfs-repositories = ["a.cern.ch"]')
    assert (own.optional, own.cvmfs.repositories) == (("ospool",), ("a.cern.ch",))
    assert one(tmp_path, "[roles.ospool]").cvmfs.repositories[0] == "oasis.opensciencegrid.org"


def test_roles_keep_their_order(tmp_path: Path) -> None:
    assert one(tmp_path, "[roles.udocker]\n[roles.apptainer]").optional == ("udocker", "apptainer")


def test_prominence_has_its_own_names_of_the_same_settings(tmp_path: Path) -> None:
    text = 'worker = "prominence"\n[worker-defaults]\nIdleTimeout = 60\nPROMINENCE_CLOUD = "x"'
    found = one(tmp_path, text).customization.worker
    assert found == (("PROMINENCE_IDLE_TIMEOUT", "60"), ("PROMINENCE_CLOUD", "x"))


# --- several images ----------------------------------------------------------------------------


def test_the_keys_of_an_image_are_added_to_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text(
        """
        base = "debian12"
        packages = ["a"]
        version = "1"
        [worker-defaults]
        IdleTimeout = 1
        JoinTimeout = 1
        [[image]]
        name = "x"
        [[image]]
        name = "y"
        base = "debian13"
        packages = ["b"]
        version = "2"
        [image.worker-defaults]
        IdleTimeout = 2
        """
    )
    (x, first), (y, second) = reading.read([tmp_path / "w.toml"])
    assert (x, first.base, y, second.base) == ("x", "debian12", "y", "debian13")
    assert (first.customization.packages, second.customization.packages) == (("a",), ("a", "b"))
    assert (first.customization.version, second.customization.version) == ("1", "2")
    assert first.customization.worker == (("IdleTimeout", "1"), ("JoinTimeout", "1"))
    assert second.customization.worker == (("IdleTimeout", "2"), ("JoinTimeout", "1"))


def test_a_matrix_makes_all_combinations(tmp_path: Path) -> None:
    matrix = '[matrix]\nbase = ["debian12", "debian13"]\nworker = ["osg", "prominence"]\narch = ["x86_64"]'
    combinations = ["debian12-osg", "debian12-prominence", "debian13-osg", "debian13-prominence"]
    assert labels(tmp_path, matrix) == [f"worker-{one}" for one in combinations]
    assert labels(tmp_path, f'name = "w"\n{matrix}') == [f"w-{one}" for one in combinations]
    found = reading.read([tmp_path / "worker.toml"])
    assert [options.customization.name for _, options in found] == [label for label, _ in found]
    assert [(options.base, options.kind) for _, options in found][1] == ("debian12", "prominence")
    assert {options.architecture for _, options in found} == {"x86_64"}


def test_a_matrix_of_one_image(tmp_path: Path) -> None:
    text = '[[image]]\nname = "a"\n[image.matrix]\nformat = ["qcow2", "oci"]\n[[image]]\nname = "b"'
    assert labels(tmp_path, text) == ["a-qcow2", "a-oci", "b"]


def test_the_path_of_a_base_is_shortened_in_a_name(tmp_path: Path) -> None:
    (tmp_path / "Mine.toml").write_text((data.BASES / "debian12.toml").read_text())
    assert labels(tmp_path, '[matrix]\nbase = ["debian13", "Mine.toml"]') == [
        "worker-debian13",
        "worker-mine",
    ]


def test_an_output_folder_has_the_images_by_name(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text('output = "o/"\n[matrix]\nformat = ["qcow2", "oci"]')
    found = reading.read([tmp_path / "w.toml"])
    assert [options.output for _, options in found] == [
        tmp_path / "o" / "w-qcow2.qcow2",
        tmp_path / "o" / "w-oci.tar",
    ]


# --- the examples ------------------------------------------------------------------------------


def test_the_examples_use_every_key() -> None:
    used: dict[type, set[str]] = {}
    for path in EXAMPLES.glob("*.toml"):
        _note_keys(
            msgspec.toml.decode(path.read_bytes()), msgspec.inspect.type_info(model.Definition), used
        )
    used[model.Image] |= used[model.Definition]
    used[model.Definition] = used[model.Image]
    for table, keys in used.items():
        assert keys >= {field.encode_name for field in msgspec.structs.fields(table)} - {"image"}, table
    tables = {
        found
        for found in vars(model).values()
        if isinstance(found, type) and issubclass(found, model.Table)
    }
    assert set(used) == tables - {model.Table}


def _note_keys(value: Any, wanted: Any, used: dict[type, set[str]]) -> None:
    match wanted:
        case msgspec.inspect.Metadata(type=inner):
            _note_keys(value, inner, used)
        case msgspec.inspect.UnionType(types=types):
            for inner in types:
                _note_keys(value, inner, used)
        case msgspec.inspect.StructType(cls=cls, fields=fields) if isinstance(value, dict):
            used.setdefault(cls, set()).update(value)
            for field in fields:
                if field.encode_name in value:
                    _note_keys(value[field.encode_name], field.type, used)
        case msgspec.inspect.VarTupleType(item_type=inner) if isinstance(value, list):
            for item in value:
                _note_keys(item, inner, used)


def test_plans_can_be_made_of_the_examples() -> None:
    found = reading.read(sorted(EXAMPLES.glob("*.toml")))
    assert len(found) == 7
    for label, options in found:
        check(options)
        _, plan = make_plan(options)
        assert plan.id, label


def test_a_changed_file_changes_the_plan(tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("a")
    text = '[[files]]\npath = "/etc/motd"\nsource = "motd"'
    _, before = make_plan(one(tmp_path, text))
    (tmp_path / "motd").write_text("b")
    _, after = make_plan(one(tmp_path, text))
    assert before.id != after.id
    assert make_plan(replace(one(tmp_path, text), level="pool"))[1].id == after.id


@pytest.mark.parametrize("path", sorted((data.KEYS / "packages").iterdir()), ids=lambda path: path.stem)
def test_fingerprints_of_our_keys(path: Path) -> None:
    import tomllib

    listed = tomllib.loads(data.REPOSITORIES.read_text())["fingerprints"][path.stem]
    assert openpgp.fingerprints(path.read_bytes()) == (listed,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmP//////\n-----END PGP PUBLIC KEY BLOCK-----",
    ],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"not|damaged"):
        openpgp.fingerprints(text.encode())
