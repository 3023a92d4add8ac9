"""`python -m bakery.output.oci DISK TARGET WORK < inputs.json`, in a sandbox; mounts the disk.

The inputs are {"plan": …, "architecture": "x86_64"}. Events go to stdout; an error is the last event.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bakery.output.oci import layer, layout
from bakery.output.oci.config import About, config, tag
from provisioner import errors, plan, source_date
from provisioner.disk.file_systems import mount_root
from provisioner.events import JsonLines, Monitor, phase


def main() -> int:
    monitor = JsonLines(sys.stdout)
    disk, target, work = map(Path, sys.argv[1:])
    try:
        _write(disk, target, work, monitor)
    except errors.BakeryError as error:
        monitor.emit(errors.to_event(error))
        return error.exit_code
    return 0


def _write(disk: Path, target: Path, work: Path, monitor: Monitor) -> None:
    inputs = json.load(sys.stdin)
    image_plan = plan.from_json(inputs["plan"])
    root = work / "container-root"
    root.mkdir()
    mount_root(disk, root, read_only=True)
    about = About(inputs["architecture"], source_date.of(root))
    with phase(monitor, "write the layer"):
        made = layer.write(root, work, about.epoch)
    with phase(monitor, "write the archive"):
        layout.write_archive(layout.entries(config(image_plan, made, about), made, tag(image_plan)), target)
    made.path.unlink()


if __name__ == "__main__":
    sys.exit(main())
