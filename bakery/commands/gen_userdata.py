"""gen-userdata: the text to paste into a cloud's launch form, so that a worker serves your jobs."""

from __future__ import annotations

import io
import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path

from bakery import files, userdata
from bakery.commands import shell
from provisioner.errors import BadInput
from provisioner.monitor import JsonLines
from provisioner.scrub import scrub

_TOKEN_FILE_LIMIT = 64 * 1024
_EPILOG = (
    "Example: gen-userdata --token-file token --project TG-ABC123. "
    "A value that begins with a dash needs an equals sign: --group-name=-x."
)


@dataclass(frozen=True, kw_only=True)
class Options:
    token: str | None = field(repr=False)
    token_file: str | None
    projects: tuple[str, ...]
    owners: tuple[str, ...]
    conditions: tuple[str, ...]
    anyone: bool
    group_name: str | None
    pool: str | None
    idle_minutes: int | None
    form: str
    output: Path | None
    json: bool
    verbose: bool
    quiet: bool


def main(argv: Sequence[str] | None = None) -> int:
    return shell.run(lambda: _generate(_options(sys.argv[1:] if argv is None else argv)))


def parser() -> ArgumentParser:
    made = shell.parser("gen-userdata", "Write user-data that tells a worker whose jobs to run.")
    made.epilog = _EPILOG
    _add_token(made)
    _add_jobs(made)
    _add_worker(made)
    made.add_argument("--format", choices=tuple(userdata.FORMS), default="script", help="default: script")
    made.add_argument(
        "-o", "--output", metavar="FILE", help="write FILE (mode 0600) instead of standard output"
    )
    return made


def _add_token(made: ArgumentParser) -> None:
    token = made.add_mutually_exclusive_group(required=True)
    token.add_argument(
        "--token-file", metavar="FILE", help="file with the pool's token; - is standard input"
    )
    token.add_argument(
        "--token", help="the token itself, seen by all users of this machine; - is standard input"
    )


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
    worker.add_argument("--pool", metavar="HOST[:PORT]", help="central manager of the pool")
    worker.add_argument(
        "--idle-minutes", type=int, metavar="N", help="power off after so long without a job"
    )


def _options(argv: Sequence[str]) -> Options:
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            found, unknown = parser().parse_known_args(argv)
    except SystemExit:
        sys.stderr.write(scrub(said.getvalue()))  # argparse repeats what it does not understand
        raise
    if unknown:
        raise _not_understood(unknown)
    return Options(
        token=found.token,
        token_file=found.token_file,
        projects=tuple(found.project),
        owners=tuple(found.owner),
        conditions=tuple(found.start),
        anyone=found.anyone,
        group_name=found.group_name,
        pool=found.pool,
        idle_minutes=found.idle_minutes,
        form=found.format,
        output=Path(found.output) if found.output not in (None, "-") else None,
        json=found.json,
        verbose=found.verbose,
        quiet=found.quiet,
    )


def _not_understood(words: Sequence[str]) -> BadInput:
    """Names options only: any other word may be a token."""
    options = [scrub(word.partition("=")[0]) for word in words if word.startswith("--")]
    known = f" ({', '.join(options)})" if options else ""
    return BadInput(f"There are words on the command line that are no option{known}.", "See --help.")


def _generate(options: Options) -> int:
    conf = _conf(options)
    text = userdata.render(conf, options.form)
    data = text.encode()
    if options.verbose:
        _tell(options, "note", f"Start = {conf.start}")
    if options.output:
        files.write_private(options.output, data)
        if not options.quiet:
            _tell(options, "note", f"{options.output} holds the token; only you can read it.")
    if options.json:
        where = {"output": str(options.output)} if options.output else {"user_data": text}
        result = {"format": options.form, "bytes": len(data), **where}
        files.write_stdout(json.dumps(result).encode() + b"\n")
    elif not options.output:
        files.write_stdout(data)
    return 0


def _conf(options: Options) -> userdata.WorkerConf:
    for name, value in (("--group-name", options.group_name), ("--pool", options.pool)):
        if value == "":
            raise BadInput(f"{name} is empty.", "Leave it away to keep what the image has.")
    start = userdata.start_expression(
        projects=options.projects,
        owners=options.owners,
        conditions=options.conditions,
        anyone=options.anyone,
    )
    minutes = options.idle_minutes
    if minutes is not None and minutes < 1:
        raise BadInput(f"--idle-minutes must be 1 or more, not {minutes}.")
    return userdata.WorkerConf(
        token=_token(options),
        start=start,
        group_name=options.group_name or "",
        central_manager=options.pool or "",
        idle_timeout=None if minutes is None else minutes * 60,
    )


def _token(options: Options) -> str:
    if "-" in (options.token, options.token_file):
        if sys.stdin and sys.stdin.isatty() and not options.quiet:
            _tell(options, "note", "Paste the token, then press Enter and Ctrl-D.")
        return userdata.token_of(files.read_stdin(_TOKEN_FILE_LIMIT))
    if options.token_file is not None:
        return _token_from_file(options, options.token_file)
    _tell(
        options,
        "warning",
        "--token shows the token to everybody on this machine and leaves it in the shell's "
        "history. Use --token-file FILE or --token -.",
    )
    return options.token or ""


def _token_from_file(options: Options, name: str) -> str:
    if scrub(name) != name:
        raise BadInput("--token-file got a token where it wants the name of a file.")
    path = Path(name)
    if files.is_world_readable(path):
        _tell(options, "warning", f"Everybody on this machine can read {path}: chmod 600 {path}")
    return userdata.token_of(files.read_limited(path, _TOKEN_FILE_LIMIT))


def _tell(options: Options, event: str, text: str) -> None:
    if options.json:
        JsonLines().tell({"event": event, "text": text})
    else:
        print(f"{event}: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
