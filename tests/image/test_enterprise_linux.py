"""SELinux and the repositories of Enterprise Linux; other systems must have neither."""

from __future__ import annotations

import configparser
from typing import Any

import pytest

pytestmark = pytest.mark.offline


def test_selinux_is_enforcing_on_enterprise_linux(host: Any, system: Any) -> None:
    config = host.file("/etc/selinux/config")
    rows = config.content_string.splitlines() if config.exists else []
    assert ("SELINUX=enforcing" in rows) == system.is_el


def test_every_enabled_repository_checks_signatures(host: Any, system: Any) -> None:
    text = host.run("cat /etc/yum.repos.d/*.repo").stdout
    found = configparser.ConfigParser(interpolation=None, strict=False)
    found.read_string(text)
    used = [name for name in found.sections() if found.getboolean(name, "enabled", fallback=True)]
    assert bool(used) == system.is_el
    assert [name for name in used if not found.getboolean(name, "gpgcheck", fallback=False)] == []


def test_no_repository_of_the_build_machine_is_configured(host: Any) -> None:
    of_build = "(baseurl|mirrorlist|metalink) *=.*(127[.]0[.]0[.]1|localhost)|/run/worker-bakery"
    assert host.run("grep -rhE %s /etc/yum.repos.d /etc/yum.conf /etc/dnf", of_build).stdout == ""
