"""worker-bakery apply and remove: turn a running machine into a worker over ssh, and undo it."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakery.commands.command_line import entry
from bakery.commands.command_line.parser import Parser, add_general, completed

if TYPE_CHECKING:
    from provisioner.plan import Plan
    from provisioner.remote.machine import Outcome
    from provisioner.targets.ssh import Login

HOW_TO_PLAN = "Write a plan with: bake-image --dry-run --json >plan.json"


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery apply") -> int:
    """The last word of `prog` says which of the two commands this is."""
    does = _remove if _removes(prog) else _apply
    return entry.run(lambda: does(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = _parser_of_remove(prog) if _removes(prog) else _parser_of_apply(prog)
    add_general(made)
    return made


def _removes(prog: str) -> bool:
    return prog.rpartition(" ")[2] == "remove"


def _parser_of_apply(prog: str) -> Parser:
    made = Parser(
        prog,
        "Turn a running machine into a worker: apply the steps of a plan over ssh. Steps that were "
        "applied before are not applied again. The worker starts when the machine is rebooted.",
        usage="[options] --ssh USER@HOST[:PORT] PLAN",
        examples=(
            "bake-image --dry-run --json >plan.json",
            "%(prog)s plan.json --ssh root@worker.example.edu",
            "%(prog)s plan.json --ssh debian@192.0.2.7 --key ~/.ssh/id_ed25519",
        ),
    )
    plan = made.add_argument(
        "plan", metavar="PLAN", help="plan that bake --dry-run --json printed; - is standard input"
    )
    completed(plan, "file")
    _add_ssh(made)
    made.add_argument("--from-scratch", action="store_true", help="apply all steps again")
    made.add_argument(
        "--seal",
        action="store_true",
        help="also apply the steps meant for images; removes the machine's ssh host keys, home "
        "directories, logs and package sources",
    )
    return made


def _parser_of_remove(prog: str) -> Parser:
    made = Parser(
        prog,
        "Undo what worker-bakery apply did on a machine: remove its files and the packages that it "
        "installed, and restore the files that it changed.",
        usage="[options] --ssh USER@HOST[:PORT]",
        examples=("%(prog)s --ssh root@worker.example.edu", "%(prog)s --ssh debian@192.0.2.7 --json"),
    )
    _add_ssh(made)
    return made


def _add_ssh(made: Parser) -> None:
    made.add_argument(
        "--ssh",
        required=True,
        metavar="USER@HOST[:PORT]",
        help="the machine; USER must be root or have sudo without a password",
    )
    key = made.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="private key (default: those of the ssh agent and of ~/.ssh)",
    )
    completed(key, "file")
    trust = made.add_mutually_exclusive_group()
    host_key = trust.add_argument(
        "--host-key", type=Path, metavar="FILE", help="public key of the machine, or a known_hosts file"
    )
    completed(host_key, "file")
    trust.add_argument(
        "--accept-new", action="store_true", help="accept an unknown host key and save it in known_hosts"
    )


def _apply(options: argparse.Namespace) -> int:
    from bakery.runtime import progress
    from provisioner.events import note, warn
    from provisioner.remote import machine as remote
    from provisioner.targets.ssh import Ssh

    login, plan = _login(options), read_plan(options.plan)
    how = remote.Options(seal=options.seal, from_scratch=options.from_scratch)
    with (
        progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor,
        Ssh(login, lambda text: warn(monitor, text)) as target,
    ):
        outcome = remote.apply_plan(plan, target, monitor, how)
        applied = outcome.before < len(outcome.steps)
        if applied:
            note(monitor, "The worker starts when the machine is rebooted.")
    _show(options, plan, outcome)
    if applied and not options.seal:
        _suggest(options)
    return 0


def _suggest(options: argparse.Namespace) -> None:
    from provisioner.targets.ssh import address

    where = address(options.ssh)
    port = [] if where.port == 22 else ["-p", str(where.port)]
    key = ["-i", str(options.key)] if options.key else []
    reboot = ["reboot"] if where.user == "root" else ["sudo", "reboot"]
    words = ["ssh", *port, *key, f"{where.user}@{where.host}", *reboot]
    entry.suggest(shlex.join(words), "reboot the machine", silent=options.json or options.quiet)


def _remove(options: argparse.Namespace) -> int:
    from bakery.runtime import progress
    from provisioner.events import warn
    from provisioner.remote import machine as remote
    from provisioner.targets.ssh import Ssh

    login = _login(options)
    with (
        progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor,
        Ssh(login, lambda text: warn(monitor, text)) as target,
    ):
        removed = remote.remove(target, monitor)
    if options.json:
        print(json.dumps({"machine": options.ssh, "removed": removed}))
    else:
        print("removed" if removed else "nothing to remove: no plan was applied")
    return 0


def _login(options: argparse.Namespace) -> Login:
    from provisioner.targets.host_keys import Trust
    from provisioner.targets.ssh import Login, address

    return Login(address(options.ssh), options.key, Trust(options.host_key, options.accept_new))


def read_plan(name: str) -> Plan:
    """The plan in a file; "-" is standard input. Raises BadInput."""
    from provisioner import named_file, plan
    from provisioner.errors import BadInput

    try:
        text = sys.stdin.read() if name == "-" else named_file.text(Path(name), named_file.DATA_LIMIT)
        return plan.from_json(json.loads(text))
    except OSError as error:
        raise BadInput(f"Cannot read {name}: {error.strerror}.", HOW_TO_PLAN) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{name} is not a plan.", HOW_TO_PLAN) from None


def _show(options: argparse.Namespace, plan: Plan, outcome: Outcome) -> None:
    total = len(outcome.steps)
    if options.json:
        print(json.dumps(_result(options.ssh, plan, outcome)))
    elif outcome.before == total:
        print(f"nothing to do: all {total} steps were applied before")
    else:
        print(f"{total - outcome.before} of {total} steps applied, {outcome.before} were applied before")


def _result(machine: str, plan: Plan, outcome: Outcome) -> dict[str, Any]:
    return {
        "machine": machine,
        "plan": plan.id,
        "steps": len(outcome.steps),
        "before": outcome.before,
        "applied": [f"{step.role}: {step.title}" for step in outcome.steps[outcome.before :]],
        "left_out": list(outcome.left_out),
    }


if __name__ == "__main__":
    sys.exit(main())
