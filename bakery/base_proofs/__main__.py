"""`python -m bakery.base_proofs IMAGE WORK`, in a sandbox: print the versions in the image."""

from __future__ import annotations

import sys
from pathlib import Path

from bakery.base_proofs import versions
from provisioner import errors
from provisioner.events import JsonLines


def main() -> int:
    monitor = JsonLines(sys.stdout)
    try:
        image, work = map(Path, sys.argv[1:])
        found = versions.in_sandbox(image, work, monitor)
    except errors.BakeryError as error:
        monitor.emit(errors.to_event(error))
        return error.exit_code
    monitor.emit({"event": "result", "versions": dict(found)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
