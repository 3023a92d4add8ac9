"""worker-bakery page: write the page on which people generate user-data in their browsers, or serve it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bakery.commands.command_line import entry
from bakery.commands.command_line.parser import Parser, add_general, completed, whole_number
from provisioner.errors import BadInput, BakeryError, Interrupted

_PORT = 8019
_LAST_PORT = 65535


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery page") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Write a folder with a page on which people generate and check user-data in their browsers. Python "
        "runs in the browser (Pyodide), so any web server can host the folder, and a token never leaves "
        "the browser.",
        examples=(
            "%(prog)s -o public/user-data",
            "%(prog)s --preset campus.toml -o public/user-data",
            "%(prog)s --serve",
        ),
    )
    output = made.add_argument("-o", "--output", type=Path, metavar="DIR", help="write the page into DIR")
    made.add_argument(
        "--serve",
        type=whole_number,
        nargs="?",
        const=_PORT,
        metavar="PORT",
        help=f"serve the page on this machine alone, until Ctrl-C (default port: {_PORT}; 0: any free one)",
    )
    preset = made.add_argument(
        "--preset",
        type=Path,
        metavar="FILE",
        help="TOML file with the title, pool, trust-domain, image, group-name, worker and cloud that the "
        "page begins with, and a list of the fields to hide",
    )
    pyodide = made.add_argument(
        "--pyodide",
        type=Path,
        metavar="FILE",
        help="npm package of Pyodide (default: npm downloads it once, into the cache)",
    )
    for action, values in ((output, "directory"), (preset, "file"), (pyodide, "file")):
        completed(action, values)
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    if options.output is None and options.serve is None:
        raise BadInput("Nothing to do.", "Use -o DIR to write the page, or --serve to serve it here.")
    if options.serve is not None and options.serve > _LAST_PORT:
        raise BadInput(f"{options.serve} is not a port.", f"Use a number up to {_LAST_PORT}: --serve PORT.")
    files = _files(options)
    if options.output is not None:
        _write(options, files)
    return 0 if options.serve is None else _serve(options, files)


def _files(options: argparse.Namespace) -> Mapping[str, bytes]:
    """The files of the page. Raises BadInput before anything is downloaded."""
    from bakery.page import folder, preset

    wanted = preset.read(options.preset) if options.preset else preset.Preset()
    return folder.files(_pyodide(options), wanted)


def _pyodide(options: argparse.Namespace) -> Mapping[str, bytes]:
    """The files of Pyodide, with a compiled library if this machine can compile it."""
    from bakery.page import library, runtime
    from bakery.store import store

    cache = store.default_root() / "pyodide"
    found = runtime.files(runtime.package(options.pyodide, cache))
    try:
        return {**found, runtime.LIBRARY: library.compiled(found, cache)}
    except Interrupted:
        raise
    except BakeryError as problem:
        entry.warn(f"{problem} The page starts some seconds later than it could.", as_json=options.json)
        return found


def _write(options: argparse.Namespace, files: Mapping[str, bytes]) -> None:
    from bakery.page import folder

    folder.write(files, options.output)
    size = sum(map(len, files.values()))
    if options.json:
        print(json.dumps({"output": str(options.output), "files": len(files), "bytes": size}))
    else:
        print(options.output)
        if not options.quiet:
            text = f"note: {len(files)} files, {size / 2**20:.1f} MiB. Any web server can host the folder."
            print(text, file=sys.stderr)


def _serve(options: argparse.Namespace, files: Mapping[str, bytes]) -> int:
    """Serve until a signal; return its exit code, without an error: Ctrl-C is the way to end it.

    The server runs in a thread of its own: it would take a signal in the midst of a request for an error
    of that request, and go on.
    """
    from threading import Thread

    from bakery.page import server

    with server.listening(files, options.serve) as listening:
        url = server.address(listening)
        print(json.dumps({"url": url}) if options.json else url, flush=True)
        if not options.quiet:
            print("note: Open this address in a browser on this machine. Ctrl-C ends it.", file=sys.stderr)
        serving = Thread(target=listening.serve_forever, daemon=True)
        serving.start()
        try:
            serving.join()
        except Interrupted as ended:
            listening.shutdown()
            return ended.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
