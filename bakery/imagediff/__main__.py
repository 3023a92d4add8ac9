"""`python -m bakery.imagediff WORK < '{"a": "A", "b": "B", "what": "differences"}'`, in a sandbox."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bakery.imagediff.sandboxed import in_sandbox
from provisioner import errors
from provisioner.events import JsonLines


def main() -> int:
    monitor = JsonLines(sys.stdout)
    try:
        task = json.load(sys.stdin)
        result = in_sandbox(Path(task["a"]), Path(task["b"]), task["what"], Path(sys.argv[1]), monitor)
    except errors.BakeryError as error:
        monitor.emit(errors.to_event(error))
        return error.exit_code
    monitor.emit({"event": "result", "result": result})
    return 0


if __name__ == "__main__":
    sys.exit(main())
