"""The image says what it is: os-release(5), the console, and what the worker advertises agree."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from provisioner.roles import identity

pytestmark = pytest.mark.offline


@pytest.fixture(scope="module")
def advertised(host: Any) -> dict[str, str]:
    found: dict[str, str] = json.loads(host.file("/usr/lib/worker-bakery/image.json").content_string)
    return found


def test_os_release_names_the_image(host: Any, advertised: dict[str, str]) -> None:
    rows = host.file("/etc/os-release").content_string.splitlines()
    assert [row for row in rows if row.startswith("IMAGE_")] == [
        f"IMAGE_ID={advertised['image_id']}",
        f"IMAGE_VERSION={advertised['image_version']}",
    ]
    assert all(re.fullmatch(r"IMAGE_(ID|VERSION)=[a-z0-9._-]+", row) for row in rows[-2:])


def test_os_release_is_that_of_the_distribution(host: Any) -> None:
    """Programs read either path; the rest of the file is as the distribution wrote it."""
    names = {row.partition("=")[0] for row in host.file("/etc/os-release").content_string.splitlines()}
    assert {"ID", "VERSION_ID", "PRETTY_NAME"} <= names
    vendor, file = host.file("/usr/lib/os-release"), host.file("/etc/os-release")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    assert not vendor.exists or vendor.content_string == file.content_string


@pytest.mark.machine
def test_console_shows_the_name_of_the_image(host: Any, system: Any) -> None:
    """agetty(8) replaces the names of variables by their values in os-release."""
    path = identity.ISSUE_EL7 if system.family == "el7" else identity.ISSUE
    assert identity.LINE in host.file(path).content_string.splitlines()
    assert host.file("/etc/issue").exists, "agetty reads issue.d only beside it"
