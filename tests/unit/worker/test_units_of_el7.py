"""EL7's systemd is 219: what came after it is not to be relied on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.runtime import data

UNITS = sorted(
    path
    for path in data.WORKER.rglob("*")
    if path.suffix in (".service", ".path", ".timer", ".mount") or path.parent.suffix == ".d"
    if "systemd/system" in str(path)
)
# Of those that systemd.unit(5), systemd.service(5) and so on of 219 have, the ones in use here.
KNOWN = {
    "Unit": {"Description", "Documentation", "After", "Before", "Requires", "Wants", "ConditionPathExists"},
    "Service": {
        *("Type", "ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"),
        *("Restart", "RestartSec", "StartLimitInterval", "SuccessExitStatus", "TimeoutStartSec"),
        *("TimeoutStopSec", "TimeoutSec", "WatchdogSec", "NotifyAccess", "OOMScoreAdjust", "LimitNPROC"),
        *("LimitCORE", "RemainAfterExit", "Environment", "EnvironmentFile", "User", "Group", "UMask"),
        *("StandardOutput", "StandardError", "SyslogIdentifier", "PrivateTmp", "KillMode", "Nice"),
        *("PermissionsStartOnly", "WorkingDirectory", "StandardInput"),
    },
    "Path": {"PathChanged", "PathModified", "PathExists", "Unit"},
    "Install": {"WantedBy", "RequiredBy", "Also", "Alias"},
}
# Later ones: `+` (231) and `!` (235) before a command, and these.
NEW_VALUES = {"Type": {"exec", "notify-reload"}, "StandardOutput": {"append", "truncate", "file"}}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_only_directives_that_systemd_219_knows(path: Path) -> None:
    section = ""
    for row in path.read_text().splitlines():
        if row.startswith("["):
            section = row.strip("[]")
        elif row and not row.startswith(("#", ";")):
            name, equals, value = row.partition("=")
            assert equals and name in KNOWN[section], f"{name} in [{section}]"
            assert value.split(":")[0] not in NEW_VALUES.get(name, set())
            if name.startswith("Exec"):
                assert value[:1] in ("/", "-", "@", ""), row


def test_there_are_units() -> None:
    assert len(UNITS) > 5
