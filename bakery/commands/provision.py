"""provision: make a worker of a machine that runs already, by a plan and over ssh."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakery.commands import shell

if TYPE_CHECKING:
    from provisioner.plan import Plan
    from provisioner.remote.machine import Outcome
    from provisioner.targets.ssh import Login

HOW_TO_PLAN = "bake-image --dry-run --json >plan.json writes one."


def main(argv: Sequence[str] | None = None) -> int:
    return shell.run(lambda: _main(_parser().parse_args(argv)), argv)


def _parser() -> argparse.ArgumentParser:
    parser = shell.parser("provision", "Make a worker of a machine that runs already, over ssh.")
    parser.add_argument(
        "verb",
        choices=["apply", "remove"],
        help="apply the steps of PLAN not applied before; remove what plans did, and give the machine back",
    )
    parser.add_argument(
        "plan", nargs="?", metavar="PLAN", help=f"to apply: a plan, - for standard input; {HOW_TO_PLAN}"
    )
    parser.add_argument(
        "--ssh", required=True, metavar="USER@HOST[:PORT]", help="root, or who has sudo without a password"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="private key; else the agent's and ~/.ssh's"
    )
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument(
        "--host-key", type=Path, metavar="FILE", help="the machine's public key, or known_hosts"
    )
    trust.add_argument("--accept-new", action="store_true", help="believe an unknown host key, and keep it")
    parser.add_argument("--from-scratch", action="store_true", help="apply all steps, done or not")
    parser.add_argument(
        "--seal",
        action="store_true",
        help="the steps for images, too: removes the machine's host keys, homes, logs and package sources",
    )
    return parser


def _main(options: argparse.Namespace) -> int:
    from bakery.runtime import progress
    from provisioner.events import note, warn
    from provisioner.remote import machine as remote
    from provisioner.targets.ssh import Ssh

    _check(options)
    if options.verb == "remove":
        return _remove(options)
    login, plan = _login(options), read_plan(options.plan)
    how = remote.Options(seal=options.seal, from_scratch=options.from_scratch)
    with (
        progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor,
        Ssh(login, lambda text: warn(monitor, text)) as target,
    ):
        outcome = remote.apply_plan(plan, target, monitor, how)
        if outcome.before < len(outcome.steps):
            note(monitor, "What was installed starts when the machine is started anew.")
    _show(options, plan, outcome)
    return 0


def _check(options: argparse.Namespace) -> None:
    from provisioner.errors import BadInput

    if options.verb == "apply" and options.plan is None:
        raise BadInput("There is no plan to apply.", HOW_TO_PLAN)
    if options.verb == "remove" and (options.plan or options.seal or options.from_scratch):
        raise BadInput("remove undoes all plans; it takes neither a plan nor --seal, --from-scratch.")


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
        print("the machine is given back" if removed else "nothing to remove: no plan was applied")
    return 0


def _login(options: argparse.Namespace) -> Login:
    from provisioner.targets.host_keys import Trust
    from provisioner.targets.ssh import Login, address

    return Login(address(options.ssh), options.key, Trust(options.host_key, options.accept_new))


def read_plan(name: str) -> Plan:
    """Raises BadInput for what is no plan."""
    from provisioner import plan
    from provisioner.errors import BadInput

    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        return plan.from_json(json.loads(text))
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror}.", HOW_TO_PLAN) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{name} is no plan.", HOW_TO_PLAN) from None


def _show(options: argparse.Namespace, plan: Plan, outcome: Outcome) -> None:
    total = len(outcome.steps)
    if options.json:
        print(json.dumps(_result(options.ssh, plan, outcome)))
    elif outcome.before == total:
        print(f"nothing to do: all {total} steps are done")
    else:
        print(f"{total - outcome.before} of {total} steps applied, {outcome.before} were done before")


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
