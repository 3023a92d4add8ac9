"""worker-bakery token request: ask a pool for a token that its administrator approves."""

from __future__ import annotations

import argparse
import time

from bakery.commands.command_line.parser import Parser, completed, whole_number
from bakery.commands.command_line.settings import Settings
from bakery.commands.token import common
from bakery.tokens.problems import WORKER_NEEDS, problems_of
from provisioner.errors import BakeryError
from provisioner.process.scrub import hide

SUMMARY = "ask a pool for a token, which its administrator approves"
USAGE = "--identity USER@DOMAIN -o FILE [options]"
DESCRIPTION = (
    "Ask the collector of a pool for a token, print the ID that its administrator must approve, wait for "
    "the approval, and save the token. HTCondor's condor_token_request is required."
)
EXAMPLES = (
    "%(prog)s --pool cm.example.edu --identity w@cloud -o token",
    "%(prog)s --identity w@cloud --lifetime 1d -o token",
)


def add_options(made: Parser) -> None:
    pool = made.add_argument(
        "--pool", metavar="NAME|HOST", help="pool to ask (default: that of the configuration file)"
    )
    completed(pool, "pools")
    made.add_argument(
        "--identity", required=True, metavar="USER@DOMAIN", help="identity of the worker in the pool"
    )
    made.add_argument(
        "--lifetime", default="7d", metavar="TIME", help="7d, 12h, 90min, or seconds (default: %(default)s)"
    )
    made.add_argument(
        "--authz",
        action="append",
        metavar="LEVEL",
        help=f"what the token allows; repeatable (default: {', '.join(WORKER_NEEDS)})",
    )
    made.add_argument(
        "--timeout",
        type=whole_number,
        default=3600,
        metavar="SECONDS",
        help="time for the approval (default: %(default)s)",
    )
    common.add_output(made)


def run(options: argparse.Namespace, settings: Settings) -> int:
    from bakery.tokens import condor_request, creation

    path = common.output_path(options)
    hosts, _ = common.hosts_of(common.pool_of(options, settings))
    wanted = condor_request.Request(
        pool=hosts[0],
        identity=creation.check_identity(options.identity),
        scopes=creation.check_scopes(options.authz or WORKER_NEEDS),
        lifetime=creation.parse_lifetime(options.lifetime),
        timeout=max(options.timeout, 1),
    )

    def on_id(request_id: str) -> None:
        text = f"The ID of the request is {request_id}. Ask an administrator of the pool to run:"
        common.tell(options, "approve", f"{text} {wanted.approval(request_id)}")

    token = condor_request.wait_for_token(wanted, path.parent, on_id)
    hide(token)
    found = problems_of(token, now=time.time())
    if any(one.severity == "error" for one in found):
        listed = " ".join(one.message for one in found)
        raise BakeryError(f"The pool issued a token that a worker cannot use; it was not saved. {listed}")
    common.save(options, path, token)
    return 0
