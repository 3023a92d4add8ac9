"""worker-bakery bases: list the base images, and prove them; in a checkout, update their pins."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line import columns, entry, terminal
from bakery.commands.command_line.parser import Parser, add_general, completed

if TYPE_CHECKING:
    from bakery.bake.options import Options
    from bakery.base_proofs.record import Record, Records
    from bakery.image.bases import Base

_HEADER = ("name", "for", "until", "disk", "boots by", "HTCondor", "tested")
_PROVEN_HEADER = ("name", "level", "seconds", "image", "HTCondor", "kernel", "cloud-init")


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery bases") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "List the base images: their architectures, end of life, file system, firmware and HTCondor "
        "series, and what was tested.",
        usage="[options] [NAME ...]",
        examples=(
            "%(prog)s --json rocky9",
            "%(prog)s --prove --level offline rocky9",
            "worker-bakery bake --base rocky9 --dry-run",
        ),
    )
    names = made.add_argument("names", nargs="*", metavar="NAME", help="only these bases (default: all)")
    completed(names, "bases")
    action = made.add_mutually_exclusive_group()
    action.add_argument(
        "--update",
        action="store_true",
        help="pin the newest images of the vendors; rewrites packer/bases in a checkout of the sources",
    )
    action.add_argument(
        "--prove",
        action="store_true",
        help="bake each base, prove it and record the result; without NAME, all that our tests do not bake",
    )
    _add_prove(made)
    add_general(made)
    return made


def _add_prove(made: Parser) -> None:
    group = made.add_argument_group("proving (--prove)")
    group.add_argument(
        "--level",
        choices=["offline", "boot", "pool", "clone"],
        help="verification level (default: pool)",
    )
    result = group.add_argument(
        "--result",
        type=Path,
        metavar="FILE",
        help="result file to update and to list from (default: packer/proofs.json of the sources)",
    )
    completed(result, "file")
    group.add_argument(
        "--accel",
        choices=["auto", "kvm", "tcg"],
        help="accelerator of virtual machines (default: auto)",
    )


def _main(options: argparse.Namespace) -> int:
    _require_prove(options)
    if options.update:
        return _update(options)
    if options.prove:
        return _prove(options)
    return print_bases(options.names, as_json=options.json, result=options.result)


def _require_prove(options: argparse.Namespace) -> None:
    from provisioner.errors import BadInput

    for name in ("level", "accel"):
        if getattr(options, name) and not options.prove:
            raise BadInput(f"--{name} requires --prove.", f"Add --prove, or omit --{name}.")


# --- update --------------------------------------------------------------------------------------


def _update(options: argparse.Namespace) -> int:
    """The exit code of the last base that could not be updated; 0 if there is none."""
    from bakery.runtime import data
    from bakery.sources import pins
    from provisioner.errors import BadInput, Unreachable, WrongChecksum

    if not (data.ROOT / "pyproject.toml").is_file():
        raise BadInput("An installed package is not updated.", "Use --update in a checkout of the sources.")
    status, changed = 0, []
    for path in pins.paths(options.names):
        try:
            rows = list(pins.update(path))
        except (Unreachable, BadInput, WrongChecksum) as error:
            entry.warn(f"{path.stem}: {error}", as_json=options.json)
            status = error.exit_code
            continue
        changed += rows
        for row in rows if not options.json else ():
            print(row, flush=True)
    if options.json:
        print(json.dumps({"changed": changed}))
    return status


# --- prove ---------------------------------------------------------------------------------------


def _prove(options: argparse.Namespace) -> int:
    """Bake and prove one base after the other; return the exit code of the worst."""
    from bakery.base_proofs import prove, result_file
    from bakery.commands.command_line import settings
    from bakery.image import bases
    from bakery.runtime import progress
    from bakery.runtime.privileges import require_root
    from bakery.store import store
    from provisioner.errors import worst

    result = _result_file(options.result)
    result_file.read(result)  # a file that cannot be read is reported before the work
    names = options.names or [base.name for base in bases.known() if not base.tested]
    chosen = {name: bases.find(name) for name in names}
    mirror = settings.load().mirror.value
    require_root()
    cache, codes, shown = store.Store(store.default_root()), [], {}
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        for name, base in chosen.items():
            attempt = prove.prove(base, _bake_options(name, mirror, options), cache, monitor)
            codes.append(attempt.exit_code)
            _report(base, attempt.record, as_json=options.json)
            # After each base: a run that is interrupted keeps the results so far.
            shown[base.name] = result_file.merge(result, base.name, attempt.record)
    _print_proven(shown, result, as_json=options.json)
    return worst(codes)


def _bake_options(name: str, mirror: str, options: argparse.Namespace) -> Options:
    from bakery.bake.options import Options

    return Options(
        base=name, level=options.level or "pool", accelerator=options.accel or "auto", mirror=mirror
    )


def _result_file(given: Path | None) -> Path:
    """The file of --result; in a checkout, that of the sources. Raises BadInput."""
    from bakery.base_proofs import result_file
    from bakery.runtime import data
    from provisioner.errors import BadInput

    if given is None:
        if not (data.ROOT / "pyproject.toml").is_file():
            raise BadInput("An installed package is not updated.", "Add --result FILE.")
        return result_file.DEFAULT
    if not given.resolve().parent.is_dir():
        raise BadInput(f"The folder of {given} does not exist.", "Create it, or name another file.")
    return given.resolve()


def _report(base: Base, record: Record, *, as_json: bool) -> None:
    """Warn of what this attempt could not show; earlier results are kept."""
    if record.proof and record.proof.failed:
        entry.warn(f"{base.name} failed: {record.proof.failed}", as_json=as_json)
    if record.not_tried:
        why = f"{record.not_tried.reason}: {record.not_tried.text}"
        entry.warn(f"{base.name} was not tried, {why}", as_json=as_json)


def _print_proven(shown: Records, result: Path, *, as_json: bool) -> None:
    from bakery.base_proofs import record as records

    if as_json:
        rows = {name: records.to_json(one) for name, one in shown.items()}
        print(json.dumps({"result": str(result), "bases": rows}))
        return
    table = [_PROVEN_HEADER, *(_proven_cells(name, one) for name, one in shown.items())]
    for line in columns.table(table, terminal.width(terminal.STDOUT)):
        print(line)
    print(f"written: {result}", file=sys.stderr)


def _proven_cells(name: str, record: Record) -> tuple[str, ...]:
    from bakery.base_proofs import record as records

    proof = record.proof
    if proof is None:
        return (name, f"not tried: {record.not_tried.reason}" if record.not_tried else "", *[""] * 5)
    level = f"{proof.level} on {records.day(proof.at)}"
    return (
        name,
        f"{level}; failed: {proof.failed.partition(':')[0]}" if proof.failed else level,
        ", ".join(f"{what} {seconds:.0f}" for what, seconds in proof.seconds.items()),
        proof.image[:19],
        *(proof.versions.get(what, "") for what in ("HTCondor", "kernel", "cloud-init")),
    )


# --- list ----------------------------------------------------------------------------------------


def print_bases(names: Sequence[str] = (), *, as_json: bool, result: Path | None = None) -> int:
    """Those of these names, or all; what was shown of them is read from `result`."""
    from bakery.base_proofs import result_file
    from bakery.image import bases

    shown = [bases.find(name) for name in names] or list(bases.known())
    proofs = result_file.read(result or result_file.DEFAULT)
    if as_json:
        print(json.dumps([_row(base, proofs) for base in shown]))
        return 0
    rows = [_HEADER, *(_cells(base, proofs) for base in shown)]
    for line in columns.table(rows, terminal.width(terminal.STDOUT)):
        print(line)
    return 0


def _cells(base: Base, proofs: Records) -> tuple[str, ...]:
    from bakery.image.bases import DEFAULT

    ended = " (ended)" if base.has_ended(datetime.date.today()) else ""
    return (
        base.name + (" (default)" if base.name == DEFAULT else ""),
        ", ".join(base.architectures),
        base.end_of_life + ended,
        base.file_system,
        ", ".join(base.firmware),
        base.htcondor,
        _shown(base, proofs),
    )


def _shown(base: Base, proofs: Records) -> str:
    """What was shown of a base; without a record, what its file says."""
    from bakery.base_proofs import record as records

    found = proofs.get(base.name)
    if found:
        return records.summary(found, base)
    return base.proof or records.DECLARED_ONLY


def _row(base: Base, proofs: Records) -> dict[str, object]:
    from bakery.base_proofs import record as records
    from bakery.image.bases import DEFAULT, VendorImage

    image = base.source if isinstance(base.source, VendorImage) else None
    return {
        "name": base.name,
        "title": base.title,
        "default": base.name == DEFAULT,
        "family": base.family,
        "architecture": base.architecture,
        "architectures": base.architectures,
        "end_of_life": base.end_of_life,
        "ended": base.has_ended(datetime.date.today()),
        "successor": base.successor,
        "login": base.login,
        "firmware": base.firmware,
        "file_system": base.file_system,
        "htcondor": base.htcondor,
        "tested": base.tested,
        "proof": _shown(base, proofs),
        "shown": records.to_json(proofs[base.name]) if base.name in proofs else {},
        "url": image and image.url,
        "digest": image and f"{image.algorithm}:{image.digest}",
    }


if __name__ == "__main__":
    sys.exit(main())
