"""The comparison as a pure function of trees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from bakery.imagediff import differ, records, report, sizes
from bakery.imagediff.differ import Result
from bakery.imagediff.files import Change, Difference
from bakery.imagediff.tree import Node, printable
from bakery.imagediff.volatile import TABLE

FOLDER = Node("folder", 0o755)
STATUS = (
    b"Package: condor\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n\nPackage: zlib\n"
)
UNIT = b"[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


@dataclass(frozen=True)
class Data:
    """A tree: files by path with their content, and other nodes."""

    files: Mapping[bytes, bytes]
    others: Mapping[bytes, Node]

    def children(self, folder: bytes) -> dict[bytes, Node]:
        found: dict[bytes, Node] = {}
        for path in (*self.files, *self.others):
            if path.startswith(folder + b"/"):
                name, *below = path[len(folder) + 1 :].split(b"/")
                if below:
                    found.setdefault(name, FOLDER)
                else:
                    found[name] = self.others.get(
                        path, Node("file", 0o644, size=len(self.files.get(path, b"")))
                    )
        return found

    def read(self, path: bytes) -> bytes | None:
        return self.files.get(path)


def tree(files: Mapping[bytes, bytes] = {}, /, **others: Node) -> Data:
    return Data(files, {b"/" + name.encode(): node for name, node in others.items()})


def difference(a: Data, b: Data) -> Result:
    def first_difference(path: bytes) -> int | None:
        pairs = enumerate(zip(a.files.get(path, b""), b.files.get(path, b""), strict=True))
        return next((at for at, (mine, theirs) in pairs if mine != theirs), None)

    return differ.differ(a, b, first_difference)


def named(result: Result) -> list[str]:
    return [report.line(one) for one in result.differences]


def test_tree_equals_itself() -> None:
    one = tree({b"/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n", b"/a/b/c": b"x"}, d=FOLDER)
    result = difference(one, one)
    assert result.differences == ()
    assert result.compared == {"packages": 0, "units": 0, "accounts": 1, "files": 6}
    assert result.to_json()["same"] is True


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (Node("file", 0o644), Node("file", 0o4755), "mode 0644 → 4755"),
        (Node("file", 0o644), Node("file", 0o644, 0, 8), "owner 0:0 → 0:8"),
        (Node("file", 0o644, size=3), Node("file", 0o644, size=4), "size 3 → 4"),
        (Node("link", 0o777, target=b"x"), Node("link", 0o777, target=b"y\n"), "target x → y\\x0a"),
        (Node("file", 0o644), Node("link", 0o777, target=b"x"), "type file → link"),
        (
            Node("character device", 0o600, device="1:3"),
            Node("character device", 0o600, device="1:5"),
            "device 1:3 → 1:5",
        ),
        (
            Node("file", 0o755),
            Node("file", 0o755, xattrs=(("security.capability", b"\x01\xff"),)),
            "xattr security.capability (none) → 01ff",
        ),
    ],
)
def test_changed_fields_are_reported(a: Node, b: Node, says: str) -> None:
    assert named(difference(tree(x=a), tree(x=b))) == [f"changed  /x: {says}"]


def test_changed_content_added_and_removed_files() -> None:
    a, b = tree({b"/e/one": b"abc", b"/gone": b""}), tree({b"/e/one": b"abX", b"/new\n\xff/in": b""})
    assert named(difference(a, b)) == [
        "changed  /e/one: content from byte 2",
        "removed  /gone",
        "added    /new\\x0a\\xff",
        "added    /new\\x0a\\xff/in",
    ]


def test_link_in_place_of_a_folder_is_not_followed() -> None:
    result = difference(tree({b"/d/in": b""}), tree(d=Node("link", 0o777, target=b"/")))
    assert named(result) == ["changed  /d: type folder → link", "removed  /d/in"]


@pytest.mark.parametrize(
    "name", [b"a\\nb", b"a\nb", b"\xff\xfe", "é\u202e".encode(), b"\\x0a", b"\n", b"\x1b[31m"]
)
def test_printable_name_is_one_line_and_reversible(name: bytes) -> None:
    text = printable(name)
    assert text.isprintable()
    back = text.encode().decode("unicode-escape").encode("latin-1")
    assert back == name


def test_printable_names_are_unique() -> None:
    assert printable(b"\xff") != printable(b"\\xff")
    assert printable(b"\n") != printable(b"\\n")


# --- records ---------------------------------------------------------------------------


def test_package_versions() -> None:
    a, b = (tree({records.DPKG_STATUS: STATUS % version}) for version in (b"23.9.6", b"23.9.7"))
    assert named(difference(a, b))[0] == "changed  condor:amd64: version 23.9.6 → 23.9.7"
    assert records.packages(a).keys() == {"condor:amd64", "zlib:"}


def test_unit_state_and_wanting_units() -> None:
    files = {
        b"/usr/lib/systemd/system/one.service": UNIT,
        b"/lib/systemd/system/two.service": b"[Service]\n",
    }
    to = Node("link", 0o777, target=b"/usr/lib/systemd/system/one.service")
    null = Node("link", 0o777, target=b"/dev/null")
    where = "etc/systemd/system"
    disabled = tree(files)
    enabled = tree(files, **{f"{where}/multi-user.target.wants/one.service": to})
    masked = tree(files, **{f"{where}/one.service": null, f"{where}/two.service": null})
    assert records.units(disabled)["two.service"]["state"] == "static"
    assert records.units(masked)["two.service"]["state"] == "masked"
    assert [one for one in named(difference(disabled, enabled)) if "/" not in one] == [
        "changed  one.service: state disabled → enabled; wanted by (none) → multi-user.target.wants"
    ]
    assert records.units(masked)["one.service"]["state"] == "masked"


def test_users_and_groups_without_passwords() -> None:
    def accounts(uid: bytes, hashed: bytes) -> Data:
        return tree(
            {
                b"/etc/passwd": b"condor:x:%s:9::/var:/bin/sh\nnonsense\n" % uid,
                b"/etc/group": b"adm:x:4:\n",
                b"/etc/shadow": b"condor:%s:20000:0:::::\n" % hashed,
            }
        )

    result = difference(accounts(b"101", b"!"), accounts(b"102", b"$y$SECRET"))
    assert "changed  user condor: password locked → set; uid 101 → 102" in named(result)
    assert "SECRET" not in json.dumps(result.to_json())


# --- volatile files ---------------------------------------------------------------------------


def content(path: bytes, a: bytes, b: bytes) -> Result:
    return difference(tree({path: a}), tree({path: b}))


def test_volatile_content_is_explained_but_not_the_mode() -> None:
    assert content(b"/etc/machine-id", b"a", b"b").unexplained == ()
    path = "etc/machine-id"
    result = difference(tree(**{path: Node("file", 0o444)}), tree(**{path: Node("file", 0o666, size=3)}))
    assert [report.line(one) for one in result.unexplained] == [
        "changed  /etc/machine-id: mode 0444 → 0666"
    ]
    assert [one.reason for one in result.volatile] == ["the machine's identity"]


def test_host_key_in_one_image_only_is_a_difference() -> None:
    key = b"/etc/ssh/ssh_host_rsa_key"
    assert len(difference(tree(), tree({key: b""})).unexplained) == 2 + 1  # /etc, /etc/ssh and the key
    assert content(key, b"a", b"b").unexplained == ()


def test_added_and_removed_logs_are_explained() -> None:
    a, b = tree({b"/var/log/old": b""}), tree({b"/var/log/apt/new": b""})
    assert difference(a, b).unexplained == ()
    assert {one.reason for one in difference(a, b).volatile} == {"logs"}


@pytest.mark.parametrize(
    ("path", "a", "same", "other"),
    [
        (
            records.DPKG_STATUS,
            b"Package: a\n\nPackage: b\n",
            b"Package: b\n\nPackage: a\n",
            b"Package: c\n",
        ),
        (b"/etc/shadow", b"root:!:20001:0\n", b"root:!:20002:0\n", b"root:!:20002:9\n"),
        (
            b"/etc/fstab",
            b"UUID=0f0f0f0f-1111-2222-3333-444444444444 / ext4\n",
            b"UUID=0e0e0e0e-1111-2222-3333-444444444444 / ext4\n",
            b"UUID=0e0e0e0e-1111-2222-3333-444444444444 / ext4 suid\n",
        ),
    ],
)
def test_only_equal_normal_forms_are_explained(path: bytes, a: bytes, same: bytes, other: bytes) -> None:
    assert content(path, a, same).unexplained == ()
    assert content(path, a, same).volatile
    assert [one for one in content(path, a, other).unexplained if one.section == "files"]


def test_every_row_has_a_path_and_a_reason() -> None:
    for row in TABLE:
        assert row.pattern.startswith(("/", "*/"))
        assert row.reason
    assert len({row.pattern for row in TABLE}) == len(TABLE)


# --- the result --------------------------------------------------------------------------------


def test_result_round_trip_through_json() -> None:
    a, b = tree({b"/a": b"x", b"/etc/machine-id": b"1"}), tree({b"/a": b"y", b"/etc/machine-id": b"2"})
    result = difference(a, b)
    again = differ.from_json(json.loads(json.dumps(result.to_json())))
    assert again.unexplained == result.unexplained
    assert again.volatile == result.volatile
    assert again.to_json() == result.to_json()


def test_report_is_limited_without_everything(capsys: pytest.CaptureFixture[str]) -> None:
    many = tuple(Difference("files", f"/[bold]{n:03}", "added") for n in range(report.LIMIT + 5))
    logs = Difference("files", "/var/log/x", "changed", (Change("size", "1", "2"),), "logs")
    result = Result({"files": 99}, (*many, logs))
    report.print_result(result, everything=False)
    output = capsys.readouterr().out
    assert "/[bold]019" in output
    assert "/[bold]020" not in output
    assert "… and 5 more; --all shows them" in output
    assert "    1  logs" in output
    report.print_result(result, everything=True)
    output = capsys.readouterr().out
    assert "/[bold]024" in output
    assert "changed  /var/log/x: size 1 → 2 (logs)" in output


# --- sizes -------------------------------------------------------------------------------------


def _link(target: bytes) -> Node:
    return Node("link", 0o777, target=target)


def measured(**files: int) -> Data:
    """dpkg knows /usr/lib/a/x by a link, and both files of the second package."""
    lists = b"/var/lib/dpkg/info/"
    content = {b"/usr/lib/" + name.replace("_", "/").encode(): b"x" * size for name, size in files.items()}
    known = {
        lists + b"one.list": b"/.\n/lib\n/lib/a/x\n",
        lists + b"two:amd64.list": b"/usr/lib/b/deep/y\n",
    }
    return Data({**content, **known}, {b"/lib": _link(b"usr/lib")})


def test_sizes_by_package_and_directory() -> None:
    found = sizes.measure(measured(a_x=10, b_deep_y=20, b_own=5))
    lists = len(b"/.\n/lib\n/lib/a/x\n/usr/lib/b/deep/y\n")
    assert found.total == 35 + lists
    assert found.packages == {"one": 10, "two": 20, sizes.NO_PACKAGE: 5 + lists}
    assert found.directories == {
        "/usr": 35, "/usr/lib": 35, "/usr/lib/a": 10, "/usr/lib/b": 25,
        "/var": lists, "/var/lib": lists, "/var/lib/dpkg": lists,
    }  # fmt: skip


def test_what_grew_comes_first_and_what_is_equal_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    before, after = (measured(a_x=10, b_deep_y=20, c_old=7), measured(a_x=2**20, b_deep_y=20, d_new=9))
    found = sizes.growth(sizes.measure(before), sizes.measure(after))
    assert [(row.name, row.growth) for row in found.packages] == [
        ("one", 2**20 - 10),
        (sizes.NO_PACKAGE, 2),
    ]
    assert [row.name for row in found.directories] == [
        "/usr", "/usr/lib", "/usr/lib/a", "/usr/lib/d", "/usr/lib/c",
    ]  # fmt: skip
    assert sizes.from_json(json.loads(json.dumps(found.to_json()))) == found
    report.print_growth(found, everything=False)
    printed = capsys.readouterr().out.split()
    assert printed[:2] == ["all", "files"]
    assert "+1.00" in printed


def test_hostile_names_are_printed_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    name = b"/\x1b[2J[red]"
    found = sizes.growth(sizes.measure(tree()), sizes.measure(tree({name + b"/x": b"x" * 2**20})))
    report.print_growth(found, everything=True)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[red]" in printed
