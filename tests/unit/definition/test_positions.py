"""The line of each key of a TOML text."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.definition.mistakes import positions

TEXT = '''# a comment
name = "x"
packages = [
  "a",
  "b",   # with a comment
  "c",
]
base = { path = "x", family = "y" }
sysctl.net.ipv4.forward = 3
[worker-defaults]
Idle = """
a
[not.a.table]
b"""

[roles.cvmfs]
quota = 3
[roles.apptainer]
[[files]]
path = "/a"
[[files]]

# comment
path = "/b"
mode = 644
[roles.ospool]
"x y" = 1
[[image]]
name = "a"
[image.condor]
a = 1
[[image.files]]
path = "/c"
[[image]]
[[image.files]]
[[image.files]]
'path' = '/d'
list = [[1, 2],
  [3,
   {four = 4}]]
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("name",), 2),
        (("packages",), 3),
        (("packages", 1), 5),
        (("base",), 8),
        (("base", "family"), 8),
        (("sysctl",), 9),
        (("sysctl", "net", "ipv4", "forward"), 9),
        (("worker-defaults",), 10),
        (("worker-defaults", "Idle"), 11),
        (("roles",), 16),
        (("roles", "cvmfs", "quota"), 17),
        (("roles", "apptainer"), 18),
        (("files",), 19),
        (("files", 0, "path"), 20),
        (("files", 1), 21),
        (("files", 1, "mode"), 25),
        (("roles", "ospool"), 26),
        (("roles", "ospool", "x y"), 27),
        (("image", 0), 28),
        (("image", 0, "condor", "a"), 31),
        (("image", 0, "files", 0, "path"), 33),
        (("image", 1), 34),
        (("image", 1, "files", 1, "path"), 37),
        (("image", 1, "files", 1, "list", 0, 1), 38),
        (("image", 1, "files", 1, "list", 1, 1, "four"), 40),
        (("image", 1, "files", 1, "not there"), 36),
        (("nowhere",), 0),
        ((), 0),
    ],
)
def test_the_line_of_a_place(place: positions.Path, line: int) -> None:
    tomllib.loads(TEXT)
    assert positions.line(TEXT, place) == line


@given(
    st.lists(
        st.sampled_from(["a = 1", "# x", "", "b.c = '''\n\n'''", "d = [\n1,\n2]"]), max_size=5, unique=True
    )
)
def test_a_key_after_anything_has_its_own_line(before: list[str]) -> None:
    text = "\n".join([*before, "wanted = 1"])
    tomllib.loads(text)
    assert positions.line(text, ("wanted",)) == text.count("\n") + 1
