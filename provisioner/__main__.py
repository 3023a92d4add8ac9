"""`python -m provisioner apply --disk RAW --from N --to M < plan.json`, run in a sandbox of its own.

The chroot engine runs this program. It stops before M, at the end of a role, if a checkpoint is worth
writing there. Events are printed to stdout as JSON lines; the last one is either of

    {"event": "result", "steps": 12, "keep": true, "source_date": 1754735400, "written": {}}
    {"event": "result", "steps": 25, …, "written": {"date": 1763112000, "obstacle": ""}}
    {"event": "error", "class": "CommandFailed", "message": "…", "hint": "…", …}

12 steps are applied, and a checkpoint is to be written; `source_date` is the date of the base. Or all are
applied, and with --rewrite the disk was written again, or not, because of an obstacle; `date` is the latest
time in it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from provisioner import errors, installed, plan, source_date
from provisioner.apply import apply
from provisioner.checkpoints import POLICIES, is_worth_keeping
from provisioner.disk import growth, rewrite
from provisioner.disk.file_systems import Mounted, finish, mount_root, save_copies, trim
from provisioner.disk.space import full_disk
from provisioner.errors import BakeryError
from provisioner.events import JsonLines, line, phase
from provisioner.packages import repository_files
from provisioner.plan import Plan
from provisioner.process import run
from provisioner.roles.site.kernel import edits_boot_loader
from provisioner.targets import Target
from provisioner.targets.chroot import Chroot, TemporaryRepositories, definitions


def main() -> int:
    options = _options()
    os.umask(0o022)  # that of whoever bakes would become modes in the image
    monitor = JsonLines(sys.stdout)
    try:
        _apply(options, monitor)
    except errors.BakeryError as error:
        monitor.emit(errors.to_event(error))
        return error.exit_code
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="provisioner", description=__doc__)
    parser.add_argument("verb", choices=["apply"])
    parser.add_argument("--disk", type=Path, required=True)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--to", dest="last", type=int, required=True)
    parser.add_argument("--checkpoints", choices=POLICIES, required=True)
    parser.add_argument("--awaited", type=int, action="append", default=[], help="keep after this step")
    parser.add_argument("--writing", type=float, required=True, help="seconds to write a checkpoint")
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--more-sources", type=Path, required=True)
    parser.add_argument("--preferences", type=Path, required=True)
    parser.add_argument("--package-cache", type=Path, required=True)
    parser.add_argument("--refresh", action="store_true", help="read the package lists again")
    parser.add_argument("--source-date", type=int, default=0, help="of the base; by default, find it")
    parser.add_argument("--rewrite", action="store_true", help="make the bytes of the disk reproducible")
    parser.add_argument("--repository-url", action="append", default=[], metavar="ID=URL")
    return parser.parse_args()


def _apply(options: argparse.Namespace, monitor: JsonLines) -> None:
    planned = plan.from_json(json.load(sys.stdin))
    root = Path(tempfile.mkdtemp(prefix="root-", dir=options.disk.parent))
    grows = bool(planned.root_size) and not options.first
    if grows:
        with phase(monitor, "enlarge the root file system"):
            growth.grow_unmounted(options.disk)
    actions = [each for step in planned.steps[options.first : options.last] for each in step.actions]
    mounted = mount_root(options.disk, root, boot_loader=edits_boot_loader(actions))
    if grows:
        growth.grow_mounted(options.disk, root)
    texts = options.sources.read_text(), options.preferences.read_text()
    urls = dict(entry.split("=", 1) for entry in options.repository_url)
    repository_files.check(urls, planned, definitions(root))
    repositories = TemporaryRepositories(
        *texts, options.package_cache, urls, options.more_sources.read_text()
    )
    try:
        date = options.source_date or source_date.of(root)
        target = Chroot(root, repositories, date)
        if options.refresh:
            target.run(installed.refresh(resumed=options.first > 0), lambda text: line(monitor, text))
        done, keep = _steps(planned, target, options, monitor)
        if keep or done == len(planned.steps):
            installed.report(target, monitor, done)
        # Raises errors of a full disk, which would otherwise go unnoticed.
        if done == len(planned.steps) and options.rewrite:
            save_copies(mounted, date)
            written = _write_again(options.disk, mounted, target, monitor)
        else:
            finish(mounted, date)
            target.close()
            written = {}
    except OSError as error:
        raise full_disk(BakeryError(f"Cannot write to the image: {error}."), options.disk, root) from None
    except BakeryError as error:
        raise full_disk(error, options.disk, root) from None
    run.call(["umount", "--recursive", str(root)])
    root.rmdir()
    result = {"steps": done, "keep": keep, "source_date": date, "written": written}
    monitor.emit({"event": "result", **result})


def _write_again(disk: Path, mounted: Mounted, target: Chroot, monitor: JsonLines) -> dict[str, int | str]:
    """Write the file systems of the finished disk again. Returns "written" of the result."""
    date = source_date.of(mounted.places[0][1])
    with rewrite.bound(mounted, disk.parent) as bound:
        target.close()
        with phase(monitor, "write the file systems in a fixed order"):
            obstacle = rewrite.rewrite(disk, bound, date)
        if obstacle:
            trim(bound)
    return {"date": date, "obstacle": obstacle}


def _steps(
    planned: Plan, target: Target, options: argparse.Namespace, monitor: JsonLines
) -> tuple[int, bool]:
    """Apply steps; return how many are applied in total, and whether to write a checkpoint now."""
    started = time.monotonic()
    ends = (end for end in planned.role_ends() if options.first < end <= options.last)
    for first, last in pairwise([options.first, *ends]):
        apply(planned.steps[first:last], target, monitor)
        passed = time.monotonic() - started
        awaited = last in options.awaited
        keep = is_worth_keeping(options.checkpoints, passed, options.writing, awaited=awaited)
        if keep and last < len(planned.steps):
            return last, True
    return options.last, False


if __name__ == "__main__":
    sys.exit(main())
