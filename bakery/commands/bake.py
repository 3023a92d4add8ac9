"""worker-bakery bake and bake-image: bake a worker image from a base image and verify it."""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bakery.commands import bake_options
from bakery.commands.bake_options import ROLES, parser
from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.settings import Settings
from bakery.commands.description import key
from bakery.commands.submit import options as submit_options

if TYPE_CHECKING:
    from minisign import SecretKey

    from bakery.bake.options import Options
    from bakery.bake.planned import Baked
    from provisioner.plan import Plan

__all__ = ["main", "parser"]

Item = tuple[str, "Options"]  # the name of an image, and its options

_MOVED = {"cache": "cache", "shell": "shell"}  # verbs of bake-image until 0.2.0


def main(argv: Sequence[str] | None = None, prog: str = "bake-image") -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    return entry.run(lambda: _main(given, prog), given)


def _main(argv: Sequence[str], prog: str) -> int:
    _refuse_moved(argv, prog)
    defaults = settings.load()
    options = parser(prog, defaults).parse_args(argv)
    if options.list_bases:
        return _list_bases(options)
    if options.list_roles:
        return _list_roles(options)
    if options.list_seal:
        return _list_seal(options)
    if options.print_schema:
        return _print_schema()
    if options.print_definition:
        return _print_definition(options, defaults)
    images = _images(options, argv, defaults)
    if options.explain:
        return _explain(options, images)
    if options.dry_run:
        return _dry_run(options, images)
    _check_key(options)
    if options.packer_files:
        return _packer_files(options, images)
    if submit_options.is_wanted(options):
        return _submit(options, images, prog)
    if len(images) > 1:
        from bakery.commands.definition import batch

        return batch.bake(images, options, key.optional(options))
    return _bake(options, images[0], key.optional(options))


def _check_key(options: argparse.Namespace) -> None:
    """Raises BadInput: nothing would be signed."""
    from provisioner.errors import BadInput

    if options.passphrase_file and not options.key:
        raise BadInput("--passphrase-file requires --sign.", "Add --sign FILE.")
    for other in ("submit", "submit_files", "submit_status", "packer_files"):
        if options.key and getattr(options, other):
            option = f"--{other.replace('_', '-')}"
            raise BadInput(f"--sign and {option} cannot be used together.", "Use worker-bakery sign later.")


def _images(options: argparse.Namespace, argv: Sequence[str], defaults: Settings) -> Sequence[Item]:
    """The images to bake by their names; the only one of a command line without files has the name ""."""
    if not options.files:
        return (("", bake_options.options(options, defaults)),)
    from bakery.commands.definition import images

    return images.images(options, argv, defaults)


@contextmanager
def _naming(label: str) -> Iterator[None]:
    """Name the image of a definition file in an error."""
    from provisioner.errors import BakeryError

    try:
        yield
    except BakeryError as error:
        if label and not error.where:
            error.where = f"the image {label}"
        raise


def _refuse_moved(argv: Sequence[str], prog: str) -> None:
    from provisioner import did_you_mean
    from provisioner.errors import BadInput

    word = argv[0] if argv and not argv[0].startswith("-") and not argv[0].endswith(".toml") else ""
    if word in _MOVED:
        raise BadInput(f"{prog} {word} was removed in 0.2.0.", f"Use worker-bakery {_MOVED[word]}.")
    if word and (found := did_you_mean.similar(word, _MOVED)):
        raise BadInput(f"{prog} has no commands.", f"Did you mean worker-bakery {found[0]}?")


def _bake(options: argparse.Namespace, image: Item, secret: SecretKey | None) -> int:
    from bakery.bake import lookup
    from bakery.runtime import progress
    from bakery.store import store

    label, wanted = image
    reporting = progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet)
    with reporting as monitor, _naming(label):
        baked = lookup.bake(wanted, store.Store(store.default_root()), monitor)
        if secret:
            from bakery.description import signature

            signature.sign(baked.path, secret)
    if options.json:
        print(json.dumps(_result(baked)))
        return 0
    print(baked.path)
    if not options.quiet:
        _show_proof(baked)
        _suggest(wanted, baked)
    return 0


def _submit(options: argparse.Namespace, images: Sequence[Item], prog: str) -> int:
    from bakery.commands.submit import command, image

    return command.main(options, lambda: [image.job_of(label, one, options) for label, one in images], prog)


def _suggest(wanted: Options, baked: Baked) -> None:
    """Verify an image that has not joined a pool yet; else upload it."""
    from bakery.commands import verify

    if wanted.format == "oci":
        entry.suggest(verify.load(baked.path), "load the container image", silent=False)
    elif wanted.format != "qcow2":
        return  # each cloud has its own way
    elif "pool" in baked.manifest["proof"]:
        entry.suggest(verify.upload(baked.path), "upload the image to OpenStack", silent=False)
    else:
        entry.suggest(
            verify.command(wanted, baked.path), "boot it and let it join a test pool", silent=False
        )


def _packer_files(options: argparse.Namespace, images: Sequence[Item]) -> int:
    from bakery.bake import build
    from bakery.runtime import data, progress
    from bakery.store import store
    from provisioner.errors import BadInput

    if len(images) > 1:
        raise BadInput("--packer-files is for one image.", "Give a definition of one image.")
    label, wanted = images[0]
    reporting = progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet)
    with reporting as monitor, _naming(label):
        cache = store.Store(store.default_root())
        variables = build.prepare(wanted, options.packer_files, cache, monitor)
    template = data.PACKER / "worker.pkr.hcl"
    if options.json:
        print(json.dumps({"variables": str(variables), "template": str(template)}))
    else:
        print(f"packer build -var-file={shlex.quote(str(variables))} {shlex.quote(str(template))}")
    return 0


def _result(baked: Baked) -> dict[str, object]:
    shown = {key: baked.manifest[key] for key in ("id", "base", "kind", "size", "sha256", "made", "proof")}
    return {"path": str(baked.path), "from_store": baked.from_store, **shown}


def _show_proof(baked: Baked) -> None:
    from bakery.commands.command_line.proof_table import print_proof

    source = "from the cache" if baked.from_store else "baked"
    size = baked.manifest["size"] / 2**20
    print(f"{source}, {size:.0f} MiB, id {baked.manifest['id'][:12]}", file=sys.stderr)
    print_proof(baked.manifest["proof"])


def _dry_run(options: argparse.Namespace, images: Sequence[Item]) -> int:
    from provisioner import plan

    plans = [(label, _planned(options, label, wanted)) for label, wanted in images]
    if options.json:
        print(
            json.dumps(_one_or_all([(label, plan.to_json(one)) for label, one in plans], "plan"), indent=1)
        )
        return 0
    for number, (label, planned) in enumerate(plans):
        _print_label(label, number, len(plans))
        _print_plan(planned)
    return 0


def _print_label(label: str, number: int, of: int) -> None:
    """A heading for the output about one of several images."""
    if of > 1:
        print(f"{chr(10) if number else ''}== {label}")


def _one_or_all(found: Sequence[tuple[str, object]], key: str) -> object:
    """For --json: of one image what is known, of several a list with their names."""
    if len(found) == 1:
        return found[0][1]
    return {"images": [{"label": label, key: one} for label, one in found]}


def _planned(options: argparse.Namespace, label: str, wanted: Options) -> Plan:
    """The plan; warns if the base has reached its end of life. Raises BadInput as a bake does."""
    from bakery.bake.options import check, make_plan
    from bakery.image import bases

    with _naming(label):
        check(wanted)
        base, planned = make_plan(wanted)
    ended = bases.warning(base, datetime.date.today())
    if ended:
        entry.warn(ended, as_json=options.json)
    return planned


def _explain(options: argparse.Namespace, images: Sequence[Item]) -> int:
    from bakery.store import store
    from bakery.store.explain import explain, to_json, to_text

    cache = store.Store(store.default_root())
    found = [(label, explain(_planned(options, label, wanted), cache)) for label, wanted in images]
    if options.json:
        print(
            json.dumps(_one_or_all([(label, to_json(one)) for label, one in found], "explained"), indent=1)
        )
        return 0
    for number, (label, one) in enumerate(found):
        _print_label(label, number, len(found))
        print("\n".join(to_text(one)))
    return 0


def _print_schema() -> int:
    from bakery.definition import schema

    print(schema.FILE.read_text("utf-8"), end="")
    return 0


def _print_definition(options: argparse.Namespace, defaults: Settings) -> int:
    """Print the definition file for the options. The plan is made first, so they can be baked."""
    from bakery.definition import printed
    from provisioner.errors import BadInput

    if options.files:
        raise BadInput("--print-definition is for options, not for a definition file.", "Omit the file.")
    wanted = bake_options.options(options, defaults)
    _planned(options, "", wanted)
    keys = dict(entry.split("=", 1) for entry in options.repository_keys)
    print(printed.text(wanted, keys), end="")
    return 0


def _print_plan(planned: Plan) -> None:
    from provisioner.actions import Put, Run
    from provisioner.process.scrub import shown

    print(f"{planned.kind} worker on {planned.base}, id {planned.id[:12]}")
    for step in planned.steps:
        print(f"\n{step.id[:12]}  {step.role}: {step.title}")
        for action in step.actions:
            match action:
                case Run(argv):
                    print(f"    run {_first_line(shown(argv))}")
                case Put(path, data, mode):
                    print(f"    put {path} {mode:04o} {len(data)} bytes")


def _first_line(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first} … ({rest.count(chr(10)) + 1} more lines)" if rest else first


def _list_bases(options: argparse.Namespace) -> int:
    from bakery.commands import bases

    return bases.print_bases(as_json=options.json)


def _list_roles(options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps([{"name": name, "title": title} for name, title in ROLES.items()]))
        return 0
    for name, title in ROLES.items():
        print(f"{name:<12} {title}")
    return 0


def _list_seal(options: argparse.Namespace) -> int:
    """Print TRACES: paths with a glob in the last component, and what is there."""
    from provisioner.roles.seal import TRACES

    if options.json:
        rows = [
            {"path": trace.pattern, "what": trace.why, "removes": trace.what, "spared": trace.spared}
            for trace in TRACES
        ]
        print(json.dumps(rows))
        return 0
    width = max(len(trace.pattern) for trace in TRACES)
    for trace in TRACES:
        print(f"{trace.pattern:<{width}} {trace.why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
