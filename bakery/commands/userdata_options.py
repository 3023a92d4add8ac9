"""The options of userdata: the parser, and the command line as frozen options."""

from __future__ import annotations

import io
import sys
from argparse import Action, Namespace
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line.parser import Parser, add_general, completed, flags_of
from bakery.commands.command_line.settings import NO_SETTINGS, Settings
from bakery.userdata import asked, keys, pools, rendering
from bakery.userdata.asked import Asked, Texts
from bakery.userdata.delivery.clouds import CLOUDS
from bakery.userdata.delivery.encodings import Encoding
from bakery.userdata.lint import names as lint_names
from bakery.userdata.request import NAMES
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from argparse import _ActionsContainer as _Container

# Findings in the token, the Start expression and the choice of the cloud; and those of --check alone.
GENERATED, CHECKED = NAMES, tuple(dict.fromkeys(lint_names.NAMES))
_EXAMPLES = (
    "%(prog)s --token-file token --project TG-ABC123 -o user-data",
    "%(prog)s --token-file token --anyone --pool cm.example.edu",
    "%(prog)s --check user-data",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What gen-userdata was asked for; None is what neither an option nor a setting gives."""

    asked: Asked
    token: str | None = field(repr=False)
    token_file: str | None
    fetch_token: str | None
    include: tuple[str, ...]
    output: Path | None
    iso: Path | None
    seed_dir: Path | None
    check: str | None
    batch: str | None
    list_findings: bool
    json: bool
    verbose: bool
    quiet: bool


def parser(prog: str = "gen-userdata", settings: Settings = NO_SETTINGS) -> Parser:
    made = Parser(
        prog,
        "Write the user-data that makes an image a worker of your pool for your jobs. The token comes "
        "from --token-file, from the variable WORKER_TOKEN, or from a prompt. Write a value that begins "
        "with a dash after an equals sign: --group-name=-x.",
        examples=_EXAMPLES,
    )
    token = _add_main(made, settings)
    _add_main_worker(made)
    _add_token(made, token, settings)
    _add_jobs(made)
    _add_worker(made)
    _add_format(made)
    _add_checks(made)
    add_general(made)
    return made


def parsed(argv: Sequence[str], prog: str = "gen-userdata", settings: Settings = NO_SETTINGS) -> Options:
    """Raises BadInput; a token on the command line is never repeated."""
    said = io.StringIO()
    made = parser(prog, settings)
    try:
        with redirect_stderr(said):
            found, unknown = made.parse_known_args(argv)
    except SystemExit:
        sys.stderr.write(scrub(said.getvalue()))  # argparse repeats what it does not understand
        raise
    if unknown:
        raise _not_understood(unknown, made)
    options = _options(found, settings)
    _check(options, found)
    return options


def _add_main(made: Parser, settings: Settings) -> Action:
    """With those of _add_main_worker, the ten options that people need first; returns --token-file."""
    token = _add_jobs_and_pool(made, settings)
    _add_cloud(made, settings)
    return token


def _add_jobs_and_pool(made: Parser, settings: Settings) -> Action:
    token = made.add_argument(
        "--token-file", metavar="FILE", help="file that contains the token; - is standard input"
    )
    made.add_argument(
        "--project",
        action="append",
        default=[],
        metavar="TG-ABC123",
        help="run jobs of this project; repeatable",
    )
    known = ", ".join(pools.names(pools.built_in()))
    pool = made.add_argument(
        *("--pool", "--collector"),
        dest="pool",
        metavar="NAME|HOST",
        help=f"pool to join: {known}, one of pools.toml, or HOST[:PORT][,HOST...] of its central managers "
        f"({settings.pool.shown('that of the image')})",
    )
    completed(token, "file")
    completed(pool, "pools")
    return token


def _add_cloud(made: Parser, settings: Settings) -> None:
    cloud = made.add_argument(
        "--cloud",
        metavar="NAME",
        help=f"fail if this cloud does not accept the user-data: {', '.join(CLOUDS)}; with --worker "
        f"prominence, the cloud of the worker, any name ({settings.cloud.shown('none')})",
    )
    completed(cloud, "clouds")


def _add_main_worker(made: Parser) -> None:
    _add_kind(made)
    _add_group_name(made)
    for flag in ("--idle-minutes", "--max-hours"):
        _add(made, _LIFE[flag])
    output = made.add_argument(
        "-o", "--output", metavar="FILE", help="write FILE (mode 0600) instead of standard output"
    )
    check = made.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="FILE",
        help="check existing user-data and exit; - is standard input",
    )
    completed(output, "file")
    completed(check, "file")


def _add_kind(made: Parser) -> None:
    made.add_argument(
        "--worker", default="osg", choices=rendering.KINDS, help="kind of worker (default: %(default)s)"
    )


def _add_group_name(made: Parser) -> None:
    made.add_argument(
        "--group-name", metavar="NAME", help="name by which you find your workers in the pool"
    )


_LIFE = {option.flag: option for option in keys.LIFECYCLE_OPTIONS}


def _add(group: _Container, option: keys.Option) -> Action:
    action = group.add_argument(option.flag, metavar=option.metavar, help=option.help)
    return completed(action, option.metavar) if "|" in option.metavar else action


def _add_token(made: Parser, token_file: Action, settings: Settings) -> None:
    group = made.add_argument_group("token of the pool")
    token = group.add_argument(
        "--token", help="the token itself, visible to all users of this machine; - as above"
    )
    fetch = _add_fetch_token(group)
    others = [fetch, *(_add(group, option) for option in keys.TOKEN_OPTIONS)]
    # One of them; --token-file stands in another group of --help.
    made.add_mutually_exclusive_group()._group_actions.extend((token_file, token, *others))
    _add_trust_domain(group, settings)


def _add_fetch_token(group: _Container) -> Action:
    return group.add_argument(
        "--fetch-token",
        nargs="?",
        const="",
        metavar="URL",
        help="with --worker prominence: get the token from the API at URL (default: PROMINENCE_URL) with "
        "your user token, of PROMINENCE_TOKEN or a prompt",
    )


def _add_trust_domain(group: _Container, settings: Settings) -> None:
    group.add_argument(
        "--trust-domain",
        metavar="NAME",
        help="fail if another trust domain issued the token "
        f"({settings.trust_domain.shown('that of the pool')})",
    )


def _add_jobs(made: Parser) -> None:
    jobs = made.add_argument_group("jobs to run")
    jobs.add_argument(
        "--owner",
        action="append",
        default=[],
        metavar="NAME",
        help="also run jobs of this user; repeatable",
    )
    jobs.add_argument(
        "--start",
        action="append",
        default=[],
        metavar="EXPR",
        help="ClassAd expression that must also be true for a job; repeatable",
    )
    jobs.add_argument("--anyone", action="store_true", help="run the jobs of all users")


def _add_worker(made: Parser) -> None:
    _add_worker_settings(made)
    _add_prominence(made)


def _add_prominence(made: Parser) -> _Container:
    prominence = made.add_argument_group("PROMINENCE (--worker prominence)")
    for option in keys.PROMINENCE_OPTIONS:
        if option.name != "cloud":
            _add(prominence, option)
    return prominence


def _add_worker_settings(made: Parser, *more: str) -> None:
    worker = made.add_argument_group("worker (default: the settings of the image)")
    for flag in (*more, "--join-minutes", "--on-idle"):
        _add(worker, _LIFE[flag])
    worker.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"set another key of the worker's file: {', '.join(keys.settable())}; repeatable",
    )


def _add_format(made: Parser) -> None:
    group = made.add_argument_group("format of the user-data")
    group.add_argument(
        "--format", choices=rendering.FORMS, help="format (default: script; mime with --include)"
    )
    include = group.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="FILE",
        help="add user-data of your own; repeatable",
    )
    group.add_argument("--gzip", action="store_true", help="compress the user-data")
    group.add_argument(
        "--base64", action="store_true", help="encode the user-data, for the field of an API"
    )
    iso = group.add_argument("--iso", metavar="FILE", help="write a NoCloud seed as an ISO image")
    seed = group.add_argument("--seed-dir", metavar="DIR", help="write a NoCloud seed as a folder")
    table = group.add_argument(
        "--batch", metavar="CSV", help="write one user-data for each row of a table, into the folder of -o"
    )
    for action, values in ((include, "file"), (iso, "file"), (seed, "directory"), (table, "file")):
        completed(action, values)


def _add_checks(made: Parser) -> None:
    checks = made.add_argument_group(
        "checks",
        "A check finds errors (the user-data does not do at boot what it says), warnings (it does, but "
        "contradicts a schema, a convention or good security) and notes (what cannot be checked).",
    )
    _add_policy(checks, (*GENERATED, *CHECKED), "--list-findings prints the names")
    checks.add_argument("--list-findings", action="store_true", help="list the names for --allow and exit")


def _add_policy(group: _Container, names: Sequence[str], where: str) -> None:
    group.add_argument(
        "--allow",
        action="append",
        default=[],
        choices=tuple(names),
        metavar="FINDING",
        help=f"ignore this finding; repeatable; {where}",
    )
    group.add_argument("--strict", action="store_true", help="treat warnings as errors")


def add_request(made: Parser, settings: Settings, *, prominence: bool = False) -> None:
    """Add the options of a worker and its jobs, for a command that passes the user-data on itself.

    They are those of an OSG worker; with `prominence`, those of PROMINENCE, too.
    """
    token = _add_jobs_and_pool(made, settings)
    _add_group_name(made)
    group = made.add_argument_group("token of the pool")
    others = [_add(group, option) for option in keys.TOKEN_OPTIONS]
    offered: set[str] = set()
    if prominence:
        _add_kind(made)
        others.append(_add_fetch_token(group))
        _add_worker_cloud(_add_prominence(made))
        offered = {"worker", "fetch_token", "cloud"}
    made.add_mutually_exclusive_group()._group_actions.extend((token, *others))
    _add_trust_domain(group, settings)
    _add_jobs(made)
    _add_worker_settings(made, "--idle-minutes", "--max-hours")
    checks = made.add_argument_group("checks of the user-data")
    _add_policy(checks, GENERATED, "gen-userdata --list-findings prints the names")
    made.set_defaults(**{name: value for name, value in _NOT_OFFERED.items() if name not in offered})


def _add_worker_cloud(group: _Container) -> None:
    """--cloud of gen-userdata, for a command that has a --cloud of its own."""
    group.add_argument(
        "--worker-cloud",
        dest="cloud",
        metavar="NAME",
        help="cloud of the worker (default: --cloud)",
    )


# Of the options of gen-userdata, those that add_request leaves out.
_NOT_OFFERED: Mapping[str, object] = {
    "worker": "osg",
    "token": None,
    "fetch_token": None,
    "format": None,
    "include": [],
    "gzip": False,
    "base64": False,
    "cloud": None,
    "output": None,
    "iso": None,
    "seed_dir": None,
    "check": [],
    "batch": None,
    "list_findings": False,
}


def of_request(found: Namespace, settings: Settings) -> Options:
    """Return the options that were parsed with those of add_request. Raises BadInput."""
    options = _options(found, settings)
    _check(options, found)
    return options


def _options(found: Namespace, settings: Settings) -> Options:
    return Options(
        asked=asked.read(_texts(found, settings)),
        token=found.token,
        token_file=found.token_file,
        fetch_token=found.fetch_token,
        include=tuple(found.include),
        output=_path(found.output),
        iso=_path(found.iso),
        seed_dir=_path(found.seed_dir),
        check=_one_file(found.check),
        batch=found.batch,
        list_findings=found.list_findings,
        json=found.json,
        verbose=found.verbose,
        quiet=found.quiet,
    )


def _texts(found: Namespace, settings: Settings) -> Texts:
    """--cloud "" sets the default aside."""
    names = {option.name for option in (*keys.options("osg"), *keys.PROMINENCE_OPTIONS)}
    return Texts(
        worker=found.worker,
        projects=tuple(found.project),
        owners=tuple(found.owner),
        conditions=tuple(found.start),
        anyone=found.anyone,
        group_name=found.group_name,
        pool=(settings.pool.value or None) if found.pool is None else found.pool,
        options={name: text for name, text in vars(found).items() if name in names},
        assignments=tuple(found.set),
        form=found.format or ("mime" if found.include else "script"),
        encoding=Encoding(gzip=found.gzip, base64=found.base64),
        cloud=(settings.cloud.value if found.cloud is None else str(found.cloud)) or None,
        cloud_source="--cloud" if found.cloud is not None else settings.cloud.source,
        trust_domain=_trust_domain(found, settings),
        allowed=frozenset(found.allow),
        strict=found.strict,
    )


def _trust_domain(found: Namespace, settings: Settings) -> str:
    """The default belongs to the default pool: --pool with another pool sets it aside."""
    if found.trust_domain is not None:
        return str(found.trust_domain)
    other_pool = found.pool not in (None, settings.pool.value)
    said = any(word.startswith("TrustDomain=") for word in found.set)
    return "" if other_pool or said else settings.trust_domain.value


def _one_file(names: Sequence[str]) -> str | None:
    if len(names) > 1:
        raise BadInput("--check is given twice; it takes one file.", "Check each file by itself.")
    return names[0] if names else None


def _check(options: Options, found: Namespace) -> None:
    """Raises BadInput for options that contradict each other."""
    if options.include and found.format not in (None, "mime"):
        raise BadInput(f"--include requires --format mime, not {found.format}.", "Omit --format.")
    if (options.iso or options.seed_dir) and options.asked.texts.encoding.base64:
        raise BadInput("A NoCloud seed must not be base64: nothing decodes it.", "Omit --base64.")
    if options.fetch_token is not None and options.asked.texts.worker != "prominence":
        raise BadInput("--fetch-token requires --worker prominence.", "Use --token-file FILE.")
    if options.batch and not options.output:
        raise BadInput("--batch requires -o.", "Name a folder: -o DIR.")
    if options.batch and (options.iso or options.seed_dir or options.check):
        raise BadInput("--batch cannot be combined with --iso, --seed-dir or --check.")


def _path(name: str | None) -> Path | None:
    return Path(name) if name not in (None, "-") else None


def _not_understood(words: Sequence[str], made: Parser) -> BadInput:
    """Names unknown options only: any other word may be a token."""
    options = [scrub(word.partition("=")[0]) for word in words if word.startswith("--")]
    named = f" ({', '.join(options)})" if options else ""
    hint = did_you_mean.hint(options, flags_of(made), "See --help.")
    return BadInput(f"Some arguments are not recognized{named}.", hint)
