"""`python -m bakery.freshness IMAGE WORK`, in a sandbox: the packages and repositories of an image."""

from __future__ import annotations

import sys
from pathlib import Path

from bakery.freshness import images
from provisioner import errors
from provisioner.events import JsonLines


def main() -> int:
    monitor = JsonLines(sys.stdout)
    try:
        rows = images.mounted_rows(Path(sys.argv[1]), Path(sys.argv[2]))
    except errors.BakeryError as error:
        monitor.emit(errors.to_event(error))
        return error.exit_code
    monitor.emit({"event": "result", "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
