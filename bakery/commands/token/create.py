"""worker-bakery token create: sign tokens with a pool's key, without HTCondor."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakery.commands.command_line.parser import Parser, completed
from bakery.commands.command_line.settings import Settings
from bakery.commands.token import common
from bakery.runtime import files
from bakery.tokens.claims import LEVELS, claims_of
from bakery.tokens.problems import WORKER_NEEDS, problems_of
from provisioner.errors import BadInput

if TYPE_CHECKING:
    from bakery.tokens.creation import Request

SUMMARY = "issue tokens for workers, with the signing key of a pool"
USAGE = "--issuer NAME -o FILE [options]"
DESCRIPTION = (
    "Sign tokens with the key of a pool, as condor_token_create does; HTCondor is not required. By default "
    "a token allows only what a worker needs (ADVERTISE_STARTD, ADVERTISE_MASTER, READ), for 7 days."
)
EXAMPLES = (
    "%(prog)s --identity w@cloud --issuer pool.edu -o token",
    "%(prog)s --identity w@x --issuer pool.edu --lifetime 1d -o t",
    "%(prog)s --for users.txt --issuer pool.edu -o tokens/",
)
_USERS_LIMIT = 1024 * 1024


def add_options(made: Parser) -> None:
    who = made.add_mutually_exclusive_group(required=True)
    who.add_argument("--identity", metavar="USER@DOMAIN", help="identity of the worker in the pool")
    users = who.add_argument(
        "--for",
        dest="users",
        metavar="FILE",
        help="a token for each identity of a file, one a line; -o names a folder",
    )
    completed(users, "file")
    made.add_argument("--issuer", required=True, metavar="NAME", help="TRUST_DOMAIN of the pool")
    key = made.add_argument(
        "--key", metavar="FILE", help="signing key (default: /etc/condor/passwords.d/NAME)"
    )
    completed(key, "file")
    made.add_argument(
        "--key-name",
        metavar="NAME",
        help="name of the key in the pool (default: the name of the file of --key, else POOL)",
    )
    made.add_argument(
        "--lifetime", default="7d", metavar="TIME", help="7d, 12h, 90min, or seconds (default: %(default)s)"
    )
    made.add_argument(
        "--authz",
        action="append",
        metavar="LEVEL",
        help="what the token allows, instead of the default; repeatable",
    )
    made.add_argument(
        "--key-is-password",
        action="store_true",
        help="the pool sets SEC_TOKEN_POOL_SIGNING_KEY_IS_PASSWORD: the key ends before a NUL byte",
    )
    common.add_output(made, "write the token to FILE, with mode 0600; with --for, a folder")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Sign and write the tokens, all or none. Raises BadInput."""
    identities = _identities(options)
    request = _request(options)
    now = int(time.time())
    targets = _targets(options, identities)
    for path in targets:
        common.refuse_input(path, str(request.key_file), options.users)
    tokens = [request.token(identity, now) for identity in identities]
    _warn(options, tokens[0], targets[0])
    for path, token in zip(targets, tokens, strict=True):
        common.write(path, token)
    _report(options, request, list(zip(identities, targets, tokens, strict=True)))
    return 0


def _report(options: argparse.Namespace, request: Request, made: Sequence[tuple[str, Path, str]]) -> None:
    from bakery.tokens import creation

    identity, path, token = made[0]
    same = creation.condor_token_create(request, identity, str(path))
    if options.json:
        common.print_result({"tokens": [_row(*one) for one in made], "condor_token_create": same})
        return
    claims = claims_of(token)
    assert claims
    one = f"{path}, a token of {identity}"
    what = one if len(made) == 1 else f"{len(made)} tokens into {path.parent}"
    # From the time of issue: a moment later it would be "in 6 days" of the 7 that were asked for.
    valid = common.validity(claims, claims.payload["iat"])
    common.tell(options, "note", f"Wrote {what}, valid {valid}.")
    common.tell(options, "note", f"The same by HTCondor, as root on the central manager: {same}")


def _identities(options: argparse.Namespace) -> Sequence[str]:
    from bakery.tokens import creation

    if options.identity is not None:
        return [creation.check_identity(options.identity)]
    data = files.read_limited(Path(options.users), _USERS_LIMIT)
    return creation.parse_identities(data.decode("utf-8-sig", "replace"), options.users)


def _request(options: argparse.Namespace) -> Request:
    from bakery.tokens import creation, signing

    name = options.key_name or (Path(options.key).name if options.key else signing.POOL_KEY)
    if "/" in name or not name.isprintable():
        raise BadInput("--key-name is the name of a key, not a path.", "Use --key FILE for its file.")
    path = Path(options.key) if options.key else signing.PASSWORD_DIRECTORY / name
    signing.check(name, options.issuer, "user@domain")
    return creation.Request(
        signing_key=signing.read_key(path),
        key_file=path,
        key_name=name,
        issuer=options.issuer,
        scopes=creation.check_scopes(options.authz or WORKER_NEEDS),
        lifetime=creation.parse_lifetime(options.lifetime),
        is_password=options.key_is_password,
    )


def _targets(options: argparse.Namespace, identities: Sequence[str]) -> list[Path]:
    from bakery.tokens import creation

    if options.identity is not None:
        return [common.output_path(options)]
    if not options.output:
        raise BadInput("--for requires -o FOLDER.")
    common.refuse_token(options.output, "-o")
    folder = Path(options.output)
    files.make_private_folder(folder)
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder.")
    return [folder / creation.file_name(identity) for identity in identities]


def _warn(options: argparse.Namespace, token: str, path: Path) -> None:
    """Warn about rights that a worker does not need, and a file that HTCondor ignores."""
    from bakery.tokens import token_file

    for text in _named(token):
        common.tell(options, "warning", text)
    if token_file.is_ignored(path.name):
        common.tell(options, "warning", f"HTCondor ignores a token file with the name {path.name}.")


def _named(token: str) -> Sequence[str]:
    about = ("mighty-token", "useless-token")
    found = problems_of(token, now=time.time())
    return [
        f"{one.message} A worker needs {', '.join(WORKER_NEEDS)}." for one in found if one.name in about
    ]


def _row(identity: str, path: Path, token: str) -> dict[str, Any]:
    claims = claims_of(token)
    assert claims
    levels = [name for name in LEVELS if name in claims.scopes]
    return {
        "identity": identity,
        "file": str(path),
        "id": claims.payload["jti"],
        "expires": claims.payload["exp"],
        "scopes": levels,
    }
