"""A manifest with packages, as bakes of Debian and of EL write it, and packages of a forger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bakery.bake.options import Options, make_plan
from bakery.description import packages
from provisioner import plan

DIGEST = "5" * 64
APT = [
    "O\tID=debian",
    'O\tVERSION_ID="13"',
    'O\tPRETTY_NAME="Debian GNU/Linux 13 (trixie)"',
    "S\tapt",
    "A\tamd64",
    "P\tlibstdc++6\tamd64\t14.2.0-19",
    "P\tbash\tamd64\t5.2.37-2+b5",
    "P\ttzdata\tall\t2025b-4",
    "M\tlibstdc++6\tamd64\t14.2.0-19\tgcc-14\t14.2.0-19\t2890\tGCC Maintainers <gcc@example.org>",
    "M\tbash\tamd64\t5.2.37-2+b5\tbash\t5.2.37-2\t7164\tMatthias Klose <doko@example.org>",
    "L\tbash\tLicense: GPL-3+",
    "L\tbash\tLicense: Latex2e",
    "L\tbash\tLicense: GPL-3+",
    "L\tlibstdc++6\tLicense: GPL-3+ with GCC exception",
]
RPM = [
    "O\tID=almalinux",
    "O\tVERSION_ID=9.5",
    "S\trpm",
    "A\tx86_64",
    "P\topenssl-libs\tx86_64\t1:3.2.2-6.el9",
    "M\topenssl-libs\tx86_64\t1:3.2.2-6.el9\topenssl-3.2.2-6.el9.src.rpm\t\t6000000\tAlmaLinux",
    "L\topenssl-libs\tASL 2.0",
]
HOSTILE = [
    "S\tapt",
    "A\tamd64",
    'P\t";rm -rf /;\x1b[31m<script>\tamd64\t1:\u202e~#?&@%2F',
    "P\t../../etc/passwd\tamd64\t\x07\x00",
    'M\t";rm -rf /;\x1b[31m<script>\tamd64\t1:\u202e~#?&@%2F\t$(id)\t`id`\tmany\tEve\x1b]0;owned\x07 <e@e>',
    'L\t";rm -rf /;\x1b[31m<script>\tLicense: (((MIT OR " AND </license>\x1b[2J',
    "L\t../../etc/passwd\tLicense: NOASSERTION",
]


def installed(rows: list[str]) -> packages.Installed:
    found = packages.of_rows(rows)
    assert found
    return found


def manifest(rows: list[str] = APT) -> dict[str, Any]:
    """A manifest with these packages, each from the repository `debian trixie`."""
    base, made = make_plan(Options(optional=("udocker",)))
    found = installed(rows)
    return {
        "format": 1,
        "id": made.id,
        "base": base.name,
        "kind": made.kind,
        "version": "0.2.0",
        "started": "2026-11-29T08:00:00+00:00",
        "made": "2026-11-29T08:01:00+00:00",
        "size": 3,
        "sha256": DIGEST,
        "engine": "chroot",
        "proof": {},
        "plan": plan.to_json(made),
        "installed": packages.to_json(found),
        "lock": {
            "format": 1,
            "system": found.system,
            "architecture": "amd64",
            "packages": [[p.name, p.architecture, p.version, "debian trixie"] for p in found.packages],
            "repositories": [
                {"id": "debian trixie", "system": "apt", "url": "http://mirror.site.example/debian"}
            ],
            "keys": {},
            "seen": {"debian trixie": {"digest": "1", "base": "http://mirror.site.example/debian/dists"}},
            "kept": [],
        },
    }


IMAGE = Path("/images/worker.qcow2")
