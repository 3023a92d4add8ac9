"""Tests of the site's image: those marked `offline` run on the mounted root, `boot` over ssh."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.offline
def test_the_site_s_package_and_its_configuration(host: Any) -> None:
    assert host.file("/usr/bin/site-monitor").exists
    configuration = host.file("/etc/site-monitor.conf")
    assert "server = monitor.site.example.edu" in configuration.content_string
    assert (configuration.mode, configuration.user, configuration.group) == (0o640, "root", "monitor")


@pytest.mark.offline
def test_the_site_trusts_its_ca(host: Any) -> None:
    bundle = host.file("/etc/ssl/certs/ca-certificates.crt").content_string
    certificate = host.file("/usr/local/share/ca-certificates/example-site.crt").content_string
    assert "".join(certificate.split()) in "".join(bundle.split())


@pytest.mark.offline
def test_the_greeting_names_the_site(host: Any) -> None:
    assert host.file("/etc/motd").content_string == (
        "This is a worker of Example Site.\nIt has no local users.\n"
    )


@pytest.mark.offline
def test_commands_of_each_phase_have_run(host: Any) -> None:
    assert host.file("/etc/site-base").exists
    assert host.file("/etc/site-monitor.version").content_string == "site-monitor 1\n"
    assert "\ntmux" in host.file("/usr/share/site-packages").content_string


@pytest.mark.boot
def test_kernel_parameters_and_services_are_as_the_definition_says(host: Any) -> None:
    assert host.file("/proc/sys/net/ipv4/tcp_mtu_probing").content_string.strip() == "1"
    assert host.file("/proc/sys/vm/swappiness").content_string.strip() == "10"
    assert host.service("site-monitor.timer").is_enabled


@pytest.mark.boot
def test_htcondor_has_the_site_s_guard(host: Any) -> None:
    shown = host.run("condor_config_val WORKER_GUARDS").stdout
    assert "RequestMemory < 64000" in shown


@pytest.mark.pool
def test_the_worker_has_joined(host: Any) -> None:
    assert host.run("worker-image wait --for joined --timeout 5m").succeeded
