"""worker-bakery fleet export: a launch as the configuration of TARDIS, Terraform or Heat."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands import userdata_options
from bakery.commands.command_line.parser import Parser, completed, positive_number
from bakery.commands.command_line.settings import Settings
from bakery.commands.fleet import common, launch, workers
from provisioner.errors import BadInput

if TYPE_CHECKING:
    from bakery.fleet.api import Api
    from bakery.fleet.export.files import Export
    from bakery.fleet.plan import Plan
    from provisioner.events import Monitor

SUMMARY = "write the configuration of TARDIS, Terraform or Heat for such workers"
DESCRIPTION = (
    "Write the configuration of another program that launches the servers: COBalD/TARDIS, which launches "
    "and deletes workers as jobs require, Terraform (or OpenTofu), or OpenStack Heat. The user-data, the "
    "image, the flavor and the quota are checked as fleet launch checks them. The files, of which some "
    "have the token or a credential of the cloud, have mode 0600. For TARDIS, the security group "
    "worker-bakery is created if it is missing."
)
USAGE = "FORMAT --count N -o DIR [options]"
EXAMPLES = (
    "%(prog)s heat --image osg --flavor m3 --count 9 -o DIR",
    "%(prog)s tardis --image osg --flavor m3 --count 9 -o DIR",
)
FORMATS = ("tardis", "terraform", "heat")


def add_options(made: Parser, settings: Settings) -> None:
    made.add_argument("format", choices=FORMATS, metavar="FORMAT", help=f"one of {', '.join(FORMATS)}")
    common.add_cloud(made)
    # The files have no root volume, and export uploads no image.
    launch.add_image(made).required = True
    launch.add_flavor(made, required=True)
    launch.add_network(made)
    made.add_argument(
        "--count",
        type=positive_number,
        required=True,
        metavar="N",
        help="number of servers; for tardis, the largest number",
    )
    userdata_options.add_request(made, settings)
    made.set_defaults(spread="")
    group = made.add_argument_group("files")
    folder = group.add_argument(
        "-o", "--output", dest="folder", type=Path, metavar="DIR", help="write the files into DIR"
    )
    completed(folder, "directory")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, print the files that have no secret, write nothing",
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    from bakery.fleet.preparing import Wanted

    folder, asked = _folder(options), workers.asked_for(options, settings)
    workers.refuse_deletion(asked)
    worker = workers.generated(options, asked)
    wanted = Wanted(
        image=options.image, flavor=options.flavor, count=options.count, network=options.network
    )
    with common.monitor_of(options) as monitor, common.connected(options) as api:
        plan = launch.planned(worker, wanted, api)
        found = _export(options, plan, api, folder)
        if options.dry_run:
            _print(options, plan, found)
            return 0
        _refuse_existing(found, folder)
        if options.format == "tardis":
            _require_security_group(api, monitor)
    _write(found, folder)
    _report(options, plan, found, folder)
    return 0


def _folder(options: argparse.Namespace) -> Path:
    """The absolute path of the folder. Raises BadInput: none is given."""
    if options.folder is None and not options.dry_run:
        raise BadInput("-o DIR is required.", "--dry-run prints the files that have no secret.")
    return (options.folder or Path()).resolve()


def _export(options: argparse.Namespace, plan: Plan, api: Api, folder: Path) -> Export:
    from bakery.fleet.export import heat, tardis, terraform

    if options.format == "tardis":
        return tardis.export(plan, api.auth, folder)
    if options.format == "terraform":
        return terraform.export(plan, common.cloud_of(options))
    return heat.export(plan, common.cloud_of(options))


def _require_security_group(api: Api, monitor: Monitor) -> None:
    """Create the security group if it is missing: TARDIS makes servers only."""
    from provisioner.events import warn

    _, is_open = api.security_group()
    if is_open:
        warn(monitor, "The security group worker-bakery has inbound rules, which somebody added.")


def _refuse_existing(found: Export, folder: Path) -> None:
    """Raise BadInput if a file is there: another launch would replace all servers of that one."""
    there = [file.name for file in found.files if (folder / file.name).exists()]
    if there:
        raise BadInput(f"{folder} already has {', '.join(there)}.", "Use an empty folder.")


def _write(found: Export, folder: Path) -> None:
    from bakery.runtime import files

    files.make_private_folder(folder)
    for file in found.files:
        files.write_private(folder / file.name, file.text.encode())


def _print(options: argparse.Namespace, plan: Plan, found: Export) -> None:
    if options.json:
        texts = {file.name: None if file.secret else file.text for file in found.files}
        common.print_json({**_about(options, plan), "files": texts})
        return
    for file in found.files:
        if file.secret:
            common.say(options, f"{file.name} has a secret, and is not shown.")
        else:
            print(file.text, end="")
    common.say(options, "Nothing was written.")


def _report(options: argparse.Namespace, plan: Plan, found: Export, folder: Path) -> None:
    command = shlex.join(word.replace("DIR", str(folder)) for word in found.command)
    paths = [str(folder / file.name) for file in found.files]
    if options.json:
        secret = [str(folder / file.name) for file in found.files if file.secret]
        common.print_json({**_about(options, plan), "files": paths, "secret": secret, "command": command})
        return
    for path in paths:
        print(path)
    secrets = " and ".join(file.name for file in found.files if file.secret)
    common.say(options, f"Only you can read the files: {secrets} must stay secret.")
    common.say(options, f"Next: {command}")


def _about(options: argparse.Namespace, plan: Plan) -> dict[str, object]:
    return {
        "format": options.format,
        "cloud": common.cloud_of(options),
        "group": plan.mark.group,
        "launch": plan.mark.launch,
        "count": len(plan.names),
    }
