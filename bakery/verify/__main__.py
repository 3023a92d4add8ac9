"""Run as `python -m bakery.verify WORK < request.json` in a sandbox with a private network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bakery.verify import run_levels, verification
from provisioner import errors
from provisioner.events import JsonLines


def main() -> int:
    monitor = JsonLines(sys.stdout)
    try:
        request = verification.from_json(json.load(sys.stdin))
        proof = run_levels.verify_image(request, Path(sys.argv[1]), monitor)
    except errors.BakeryError as error:
        monitor.emit(errors.to_event(error))
        return error.exit_code
    monitor.emit({"event": "result", "proof": proof})
    return 0


if __name__ == "__main__":
    sys.exit(main())
