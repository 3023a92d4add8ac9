"""worker-bakery userdata and gen-userdata: write the user-data of a worker, or check existing user-data."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from bakery.commands.command_line import entry, settings
from bakery.commands.userdata_options import CHECKED, GENERATED, Options, parsed, parser
from bakery.runtime import files
from bakery.userdata import asked, findings, rendering, request, summary
from bakery.userdata.delivery import encodings, multipart
from bakery.userdata.findings import Finding
from bakery.userdata.request import Delivery, Request, UserData
from provisioner.errors import BadInput
from provisioner.events import JsonLines
from provisioner.process.scrub import hide, scrub

__all__ = ["main", "parser"]

TOKEN_VARIABLE = "WORKER_TOKEN"
_TOKEN_FILE_LIMIT = 64 * 1024
_CHECK_LIMIT = 16 * 1024 * 1024
_INCLUDE_LIMIT = 1024 * 1024


def main(argv: Sequence[str] | None = None, prog: str = "gen-userdata") -> int:
    given = sys.argv[1:] if argv is None else argv
    return entry.run(lambda: _run(parsed(given, prog, settings.load())), argv)


def _run(options: Options) -> int:
    if options.list_findings:
        return _list_findings(options)
    if options.check:
        return _check(options, options.check)
    return _batch(options, options.batch) if options.batch else _generate(options)


def _list_findings(options: Options) -> int:
    """The names that --allow takes, and when each is checked."""
    when = dict.fromkeys(CHECKED, "with --check") | dict.fromkeys(GENERATED, "always")
    if options.json:
        _print_json({"findings": [{"name": name, "checked": text} for name, text in when.items()]})
        return 0
    for name in sorted(when):
        print(f"{name:<24} {when[name]}")
    return 0


def _batch(options: Options, table: str) -> int:
    from bakery.userdata import batch

    folder = options.output or Path()
    done = batch.run(
        batch.Batch(
            table=Path(table),
            folder=folder,
            common=options.asked.request(_token(options) if _token_is_said(options) else ""),
            delivery=_delivery(options),
            policy=options.asked.policy(time.time()),
            read_token=lru_cache(maxsize=16)(partial(_token_from_file, options)),
        )
    )
    for name, count in done.warnings.items():
        _tell(options, "warning", f"{name}: {count} of {done.written} rows")
    if options.json:
        _print_json({"output": str(folder), "written": done.written, "warnings": dict(done.warnings)})
    elif not options.quiet:
        _tell(options, "note", f"Wrote {done.written} files into {folder}; only their owner can read them.")
    return 0


def _check(options: Options, name: str) -> int:
    """Print the findings on standard output, one a line; print nothing if there are none.

    The exit code is 2 if a finding is an error: at boot the user-data would not do what it says. A
    warning is about something that works, but contradicts a schema, a convention or good security; a
    note says what cannot be checked, and why.
    """
    from bakery.userdata.lint import wrapping
    from bakery.userdata.lint.context import Context

    data = files.read_stdin(_CHECK_LIMIT) if name == "-" else files.read_limited(Path(name), _CHECK_LIMIT)
    texts = options.asked.texts
    context = Context(now=time.time(), trust_domain=texts.trust_domain, cloud=options.asked.cloud)
    found = findings.apply_policy(wrapping.check(data, context), allowed=texts.allowed, strict=texts.strict)
    if options.json:
        _print_json({"file": name, "bytes": len(data), "findings": findings.as_data(found)})
    else:
        lines = [f"{name}: {one.severity}: {one} ({one.id})\n" for one in found]
        files.write_stdout(scrub("".join(lines)).encode("utf-8", "backslashreplace"))
    return BadInput.exit_code if findings.errors(found) else 0


def _generate(options: Options) -> int:
    _refuse_overwriting(options)
    wanted, made = generated(options, lambda: _delivery(options))
    _show(options, wanted, made)
    if options.verbose:
        _tell(options, "note", f"Start = {made.conf.start}")
    if not options.quiet:
        for line in summary.sentences(wanted, made.conf):
            _tell(options, "note", line)
    silent = options.quiet or options.json
    entry.suggest(summary.condor_status(made.conf), "find the worker, once it has started", silent=silent)
    return 0


def generated(options: Options, delivery: Callable[[], Delivery]) -> tuple[Request, UserData]:
    """Read the token and generate the user-data; print the warnings.

    Raises BadInput: a value is missing or invalid, or the user-data has an error.
    """
    # Report other mistakes before the user pastes a token.
    asked.check_without_token(options.asked)
    form = delivery()
    token = _token(options)
    hide(token)
    wanted = options.asked.request(token)
    made = request.generate(wanted, form, options.asked.policy(time.time()))
    _judge(options, made)
    return wanted, made


def _refuse_overwriting(options: Options) -> None:
    """Raise BadInput if a file is to be written that is also read."""
    read = [Path(name) for name in (options.token_file, *options.include) if name and name != "-"]
    for output in (options.output, options.iso):
        if output and output.exists() and any(one.exists() and one.samefile(output) for one in read):
            raise BadInput(f"{output} is an input file.", "Choose another path for the output.")


def _delivery(options: Options) -> Delivery:
    parts = [
        part
        for name in options.include
        for part in multipart.parse_include(name, files.read_limited(Path(name), _INCLUDE_LIMIT))
    ]
    return options.asked.delivery(tuple(parts))


def _judge(options: Options, made: UserData) -> None:
    """Print the warnings; raise BadInput if there is an error."""
    _warn(options, made.findings)
    if options.json and findings.errors(made.findings):
        _print_json({"findings": findings.as_data(made.findings)})
    asked.refuse(made)


def _warn(options: Options, found: Iterable[Finding]) -> None:
    for finding in found:
        if finding.severity == "warning":
            _tell(options, "warning", f"{finding} ({finding.id})")


def _show(options: Options, wanted: Request, made: UserData) -> None:
    data = encodings.encoded(made.payload, options.asked.texts.encoding)
    written = _write_files(options, made.payload, data)
    for path in written.values() if not options.quiet else ():
        holds = "contains the token" if made.conf.token else "contains no token"
        _tell(options, "note", f"{path} {holds}; only its owner can read it.")
    if options.json:
        result: dict[str, Any] = {"format": options.asked.texts.form, "bytes": len(data)}
        result |= written or _as_text(data)
        result["findings"] = findings.as_data(made.findings)
        _print_json(result | summary.as_data(wanted, made.conf))
    elif not written:
        _refuse_terminal(options)
        files.write_stdout(data)


def _write_files(options: Options, payload: bytes, data: bytes) -> dict[str, str]:
    """Write the files; the path of each, by the name of its option."""
    written = {}
    if options.output:
        files.write_private(options.output, data)
        written["output"] = str(options.output)
    if options.iso or options.seed_dir:
        written |= _write_seeds(options, payload)
    return written


def _write_seeds(options: Options, payload: bytes) -> dict[str, str]:
    from bakery.userdata.delivery import nocloud

    instance_id, hostname = nocloud.derive_names(payload)
    seed = nocloud.seed_files(user_data=payload, instance_id=instance_id, hostname=hostname)
    written = {}
    if options.iso:
        files.write_private(options.iso, nocloud.iso(seed))
        written["iso"] = str(options.iso)
    if options.seed_dir:
        files.make_private_folder(options.seed_dir)
        for name, data in seed.items():
            files.write_private(options.seed_dir / name, data)
        written["seed_dir"] = str(options.seed_dir)
    return written


def _as_text(data: bytes) -> dict[str, str]:
    """For JSON, which has no bytes: compressed user-data is encoded as base64."""
    try:
        return {"user_data": data.decode()}
    except UnicodeDecodeError:
        return {
            "user_data_base64": encodings.encoded(data, encodings.Encoding(base64=True)).decode().strip()
        }


def _refuse_terminal(options: Options) -> None:
    binary = options.asked.texts.encoding.gzip and not options.asked.texts.encoding.base64
    if binary and sys.stdout.isatty():
        raise BadInput("Compressed user-data is not written to a terminal.", "Write it to a file: -o FILE.")


def _token(options: Options) -> str:
    if options.asked.fetches_token:
        if TOKEN_VARIABLE in os.environ and not options.quiet:
            _tell(options, "note", f"{TOKEN_VARIABLE} is ignored: the worker fetches its token itself.")
        return ""
    if "-" in (options.token, options.token_file):
        if sys.stdin and sys.stdin.isatty() and not options.quiet:
            _tell(options, "note", "Paste the token, then press Enter and Ctrl-D.")
        return rendering.parse_token_file(files.read_stdin(_TOKEN_FILE_LIMIT))
    if options.token_file is not None:
        return _token_from_file(options, options.token_file)
    if options.fetch_token is not None:
        return _fetched(options.fetch_token)
    if options.token is None:
        return _token_not_said()
    _tell(
        options,
        "warning",
        "--token shows the token to all users of this machine and leaves it in the shell's history. "
        f"Use --token-file FILE, --token - or {TOKEN_VARIABLE}.",
    )
    return options.token


def _fetched(url: str) -> str:
    """A new token from PROMINENCE; "" stands for the URL of the environment."""
    from bakery.commands.token import fetch

    return fetch.fetched(url or fetch.url_of_environment())


def _token_is_said(options: Options) -> bool:
    said = (options.token, options.token_file, options.fetch_token)
    given = any(one is not None for one in said) or TOKEN_VARIABLE in os.environ
    return given or options.asked.fetches_token


def _token_from_file(options: Options, name: str) -> str:
    if scrub(name) != name:
        raise BadInput("--token-file takes the name of a file, not a token.")
    path = Path(name)
    token = rendering.parse_token_file(files.read_limited(path, _TOKEN_FILE_LIMIT))
    if files.is_world_readable(path):  # said of a token only: what is no token was refused above
        _tell(options, "warning", f"All users of this machine can read {path}. Run: chmod 600 {path}")
    return token


def _token_not_said() -> str:
    """From the environment, else from a prompt on the terminal."""
    if TOKEN_VARIABLE in os.environ:
        if not os.environ[TOKEN_VARIABLE].strip():
            raise BadInput(f"{TOKEN_VARIABLE} is empty.", "Set it to the token, or unset it.")
        return rendering.parse_token_file(os.environb[TOKEN_VARIABLE.encode()])
    if not (sys.stdin and sys.stdin.isatty()):
        raise BadInput(
            "A token is required.", f"Use --token-file FILE, or set the variable {TOKEN_VARIABLE}."
        )
    import getpass

    try:
        return getpass.getpass("Token of the pool (it is not shown): ").strip()
    except EOFError:
        raise BadInput(
            "A token is required.", "Paste it at the prompt, or use --token-file FILE."
        ) from None


def _print_json(result: dict[str, Any]) -> None:
    files.write_stdout(json.dumps(result).encode() + b"\n")


def _tell(options: Options, event: str, text: str) -> None:
    if options.json:
        JsonLines().emit({"event": event, "text": scrub(text)})
    else:
        print(f"{event}: {scrub(text)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
