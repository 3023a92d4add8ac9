"""The command line of gen-userdata -> frozen options."""

from __future__ import annotations

import io
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path

from bakery.commands import shell
from bakery.userdata import keys, pools, rendering
from bakery.userdata.delivery.clouds import CLOUDS
from bakery.userdata.delivery.encodings import Encoding
from bakery.userdata.lint import names as lint_names
from bakery.userdata.request import NAMES
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

_ALLOWED = (*NAMES, *lint_names.NAMES)
_EPILOG = (
    "Example: gen-userdata --token-file token --project TG-ABC123. The token may also stand in the "
    "environment variable WORKER_TOKEN; without any, a terminal asks for it. "
    "A value that begins with a dash needs an equals sign: --group-name=-x. "
    f"What --allow takes: {', '.join(NAMES)}; with --check also: {', '.join(lint_names.NAMES)}."
)


@dataclass(frozen=True, kw_only=True)
class Options:
    worker: str
    token: str | None = field(repr=False)
    token_file: str | None
    trust_domain: str
    projects: tuple[str, ...]
    owners: tuple[str, ...]
    conditions: tuple[str, ...]
    anyone: bool
    group_name: str | None
    pool: str | None
    settings: Mapping[str, str]
    form: str
    include: tuple[str, ...]
    encoding: Encoding
    cloud: str | None
    output: Path | None
    iso: Path | None
    seed_dir: Path | None
    check: str | None
    batch: str | None
    allowed: frozenset[str]
    strict: bool
    json: bool
    verbose: bool
    quiet: bool


def parser() -> ArgumentParser:
    made = shell.parser("gen-userdata", "Write user-data that tells a worker whose jobs to run.")
    made.epilog = _EPILOG
    made.add_argument(
        "--worker", default="osg", choices=rendering.KINDS, help="kind of worker (%(default)s)"
    )
    _add_token(made)
    _add_jobs(made)
    _add_worker(made)
    _add_form(made)
    _add_checks(made)
    return made


def parsed(argv: Sequence[str]) -> Options:
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            found, unknown = parser().parse_known_args(argv)
    except SystemExit:
        sys.stderr.write(scrub(said.getvalue()))  # argparse repeats what it does not understand
        raise
    if unknown:
        raise _not_understood(unknown)
    options = _options(found)
    _check(options, found.format)
    return options


def _add_token(made: ArgumentParser) -> None:
    group = made.add_argument_group("the token of the pool")
    token = group.add_mutually_exclusive_group()
    token.add_argument("--token-file", metavar="FILE", help="file that holds it; - is standard input")
    token.add_argument("--token", help="the token itself, seen by all users of this machine; - as above")
    for option in keys.TOKEN_OPTIONS:
        token.add_argument(option.flag, metavar=option.metavar, help=option.help)
    group.add_argument("--trust-domain", default="", metavar="NAME", help="who must have issued it")


def _add_jobs(made: ArgumentParser) -> None:
    jobs = made.add_argument_group("whose jobs to run")
    jobs.add_argument("--project", action="append", default=[], metavar="TG-ABC123", help="repeatable")
    jobs.add_argument("--owner", action="append", default=[], metavar="NAME", help="repeatable; or these")
    jobs.add_argument(
        "--start",
        action="append",
        default=[],
        metavar="EXPR",
        help="ClassAd expression that must hold as well; repeatable",
    )
    jobs.add_argument("--anyone", action="store_true", help="run everybody's jobs")


def _add_worker(made: ArgumentParser) -> None:
    worker = made.add_argument_group("the worker; what is not given stays as in the image")
    worker.add_argument("--group-name", metavar="NAME", help="name to find your workers by")
    worker.add_argument(
        *("--pool", "--collector"),
        dest="pool",
        metavar="NAME|HOST[:PORT]",
        help=f"the pool: {', '.join(pools.names(pools.shipped()))}, one of your own file, or its central "
        "managers, with commas",
    )
    for option in keys.LIFE_OPTIONS:
        worker.add_argument(option.flag, metavar=option.metavar, help=option.help)
    worker.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"any other key of the worker's file, repeatable: {', '.join(keys.settable())}",
    )
    prominence = made.add_argument_group("a worker of PROMINENCE (--worker prominence)")
    for option in keys.PROMINENCE_OPTIONS:
        if option.name != "cloud":
            prominence.add_argument(option.flag, metavar=option.metavar, help=option.help)


def _add_form(made: ArgumentParser) -> None:
    form = made.add_argument_group("the form")
    form.add_argument("--format", choices=rendering.FORMS, help="default: script; mime with --include")
    form.add_argument(
        "--include", action="append", default=[], metavar="FILE", help="user-data of your own; repeatable"
    )
    form.add_argument("--gzip", action="store_true", help="compressed")
    form.add_argument("--base64", action="store_true", help="as the field of an API wants it")
    form.add_argument(
        "--cloud",
        metavar="NAME",
        help=f"refuse what this cloud does not take: {', '.join(CLOUDS)}; a worker of PROMINENCE is in "
        "the cloud of this name, any",
    )
    form.add_argument(
        "-o", "--output", metavar="FILE", help="write FILE (mode 0600) instead of standard output"
    )
    form.add_argument("--iso", metavar="FILE", help="write a NoCloud seed, an ISO image")
    form.add_argument("--seed-dir", metavar="DIR", help="write a NoCloud seed, a folder")


def _add_checks(made: ArgumentParser) -> None:
    checks = made.add_argument_group("checks")
    checks.add_argument(
        "--allow",
        action="append",
        default=[],
        choices=_ALLOWED,
        metavar="NAME",
        help="go on in spite of NAME",
    )
    checks.add_argument("--strict", action="store_true", help="refuse where there is a warning")
    checks.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="FILE",
        help="check user-data that exists; - is standard input. An error: at boot it does not do what it"
        " says; a warning: it does, against a schema, a habit or safety; a note: that cannot be judged",
    )
    checks.add_argument(
        "--batch", metavar="CSV", help="one user-data for each row, into the folder that -o names"
    )


def _options(found: Namespace) -> Options:
    return Options(
        worker=found.worker,
        token=found.token,
        token_file=found.token_file,
        trust_domain=found.trust_domain,
        projects=tuple(found.project),
        owners=tuple(found.owner),
        conditions=tuple(found.start),
        anyone=found.anyone,
        group_name=found.group_name,
        pool=found.pool,
        settings=_settings(found),
        form=found.format or ("mime" if found.include else "script"),
        include=tuple(found.include),
        encoding=Encoding(gzip=found.gzip, base64=found.base64),
        cloud=_cloud(found),
        output=_path(found.output),
        iso=_path(found.iso),
        seed_dir=_path(found.seed_dir),
        check=_one_file(found.check),
        batch=found.batch,
        allowed=frozenset(found.allow),
        strict=found.strict,
        json=found.json,
        verbose=found.verbose,
        quiet=found.quiet,
    )


def _settings(found: Namespace) -> dict[str, str]:
    texts = {**vars(found), "cloud": found.cloud if found.worker == "prominence" else None}
    return keys.chosen(texts, found.worker) | keys.assigned(found.set, found.worker)


def _cloud(found: Namespace) -> str | None:
    """Of which the limits are known."""
    if found.cloud in CLOUDS:
        return str(found.cloud)
    if found.cloud is not None and found.worker == "osg":
        hint = did_you_mean.hint([found.cloud], CLOUDS, f"It knows {', '.join(CLOUDS)}.")
        raise BadInput(f"--cloud does not know {scrub(found.cloud)!r}.", hint)
    return None


def _one_file(names: Sequence[str]) -> str | None:
    if len(names) > 1:
        raise BadInput("--check is given twice; it takes one file.", "Run it for each file.")
    return names[0] if names else None


def _check(options: Options, form: str | None) -> None:
    if options.trust_domain and "TrustDomain" in options.settings:
        raise BadInput(
            "--trust-domain and --set TrustDomain= both say who must have issued the token.",
            "Give one of them: --set also writes it to the worker's file.",
        )
    if options.include and form not in (None, "mime"):
        raise BadInput(f"--include makes a multi-part, not a {form}.", "Leave away --format.")
    if (options.iso or options.seed_dir) and options.encoding.base64:
        raise BadInput("A NoCloud seed is not decoded by anybody.", "Leave away --base64.")
    if options.batch and not options.output:
        raise BadInput("--batch writes many files, but there is no -o.", "Name a folder: -o DIR.")
    if options.batch and (options.iso or options.seed_dir or options.check):
        raise BadInput("--batch goes with neither --iso, --seed-dir nor --check.", "Run them one by one.")


def _path(name: str | None) -> Path | None:
    return Path(name) if name not in (None, "-") else None


def _not_understood(words: Sequence[str]) -> BadInput:
    """Names options only: any other word may be a token."""
    options = [scrub(word.partition("=")[0]) for word in words if word.startswith("--")]
    named = f" ({', '.join(options)})" if options else ""
    hint = did_you_mean.hint(options, shell.flags_of(parser()), "See --help.")
    return BadInput(f"There are words on the command line that are no option{named}.", hint)
