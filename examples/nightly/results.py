#!/usr/bin/env python3
"""Sort the results of `worker-bakery bake --json`:  results.py RESULTS NAME STATUS OUTPUT EVENTS

OUTPUT is the file with the command's standard output, EVENTS that with its standard error, STATUS its exit
code. NAME is used for a result that does not name its image. New images are copied to RESULTS/new. For each
failure, the report RESULTS/failed/NAME.md is written: its first line is `# TITLE`, the rest is an issue's
text: the failing check or step, the error, and the last lines of the console and of the other logs.
Requires Python 3.9 and nothing else.

worker-bakery has removed tokens from its errors and logs. The title has no date, so that a failure of the
next night can be recognized as the same.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOT_PROVEN = 4  # exit code: the image was baked, but its verification failed
LAST_LINES = 60  # of each log
LONGEST = 12_000  # characters of a text; GitHub refuses issues above 65536
LONGEST_TITLE = 120

Object = dict[str, Any]


def main(argv: list[str]) -> int:
    results, name, status, output, events = argv
    text = Path(events).read_text("utf-8", "replace")
    images = read_images(Path(output).read_text("utf-8"), name)
    for label, image in images.items():
        if "error" not in image:
            print(f"{label}: {keep(Path(results), label, image)}")
    failed = {label: image["error"] for label, image in images.items() if "error" in image}
    if int(status) and not failed:
        failed = {name: {**last_error(text), "exit_code": int(status)}}
    for label, error in failed.items():
        path = Path(results, "failed", f"{label}.md")
        path.write_text("\n".join(report(label, error, text)), "utf-8")
        print(f"{label}: failed, see {path}")
    return 0


# --- what worker-bakery has printed ----------------------------------------------------------------


def read_images(output: str, name: str) -> dict[str, Object]:
    """Return the results by image: of one (then called `name`), or of several; {} if there are none."""
    found = json_object(output)
    if "images" in found:
        return {str(image["label"]): image for image in found["images"]}
    return {name: found} if "path" in found else {}


def last_error(events: str) -> Object:
    """Return the last event "error"; {} if there is none, for example of a killed command."""
    found = (json_object(line) for line in reversed(events.splitlines()))
    return next((event for event in found if event.get("event") == "error"), {})


def json_object(text: str) -> Object:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# --- images ----------------------------------------------------------------------------------------


def keep(results: Path, label: str, image: Object) -> str:
    """Copy an image that was baked tonight to RESULTS/new, its JSON object last; return what was done."""
    if image["from_store"]:
        return "has no updates"
    source, new = Path(image["path"]), results / "new"
    part = new / f"{label}.part"
    shutil.copyfile(source, part)
    part.rename(new / f"{label}{source.suffix}")
    (new / f"{label}.json").write_text(json.dumps(image, indent=1) + "\n", "utf-8")
    return f"baked, proven: {', '.join(image['proof']) or 'nothing'}"


# --- reports ---------------------------------------------------------------------------------------


def report(name: str, error: Object, events: str) -> Iterator[str]:
    """Yield the paragraphs of a report."""
    yield f"# {title(name, error)}\n"
    yield f"- exit code: {error['exit_code']}" + (f" ({error['class']})" if error.get("class") else "")
    if where := error.get("where"):
        yield f"- where: {code(where)}"
    yield f"\n{fenced(error.get('message') or events)}\n"
    if hint := error.get("hint"):
        yield f"{fenced(hint)}\n"
    if error.get("log"):
        yield from logs(Path(error["log"]))


def title(name: str, error: Object) -> str:
    """Return for example `rocky9: level boot failed: image tests over ssh`."""
    where = " ".join(error.get("where", "").split())
    if level := re.match(r"level (\w+): (.*)", where):
        text = f"level {level[1]} failed: {level[2]}"
    elif error["exit_code"] == NOT_PROVEN:
        text = f"verification failed: {where}" if where else "verification failed"
    else:
        text = f"failed with exit code {error['exit_code']}" + (f": {where}" if where else "")
    return f"{name}: {text}"[:LONGEST_TITLE]


def logs(folder: Path) -> Iterator[str]:
    """Yield the last lines of each log, the console first and the events of worker-bakery last."""
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir(), key=lambda file: (file.name == "events.log", file.name)):
        lines = file.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]
        yield f"The last lines of {code(file.name)}:\n\n{fenced(chr(10).join(lines))}\n"


def fenced(text: str) -> str:
    """Return the end of a text as a code block that no line of it can close."""
    shown = text.strip("\n")[-LONGEST:]
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def code(text: str) -> str:
    return "`" + " ".join(text.replace("`", "'").split()) + "`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
