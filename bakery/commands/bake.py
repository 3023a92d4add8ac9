"""worker-bakery bake and bake-image: bake a worker image from a base image and verify it."""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bakery.commands import bake_options
from bakery.commands.bake_options import ROLES, parser
from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.settings import Settings
from bakery.commands.submit import options as submit_options

if TYPE_CHECKING:
    from bakery.bake.planned import Baked
    from bakery.submit.images import JobImage
    from provisioner.plan import Plan

__all__ = ["main", "parser"]

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
    if options.explain:
        return _explain(options, defaults)
    if options.dry_run:
        return _dry_run(options, defaults)
    if options.packer_files:
        return _packer_files(options, defaults)
    if submit_options.is_wanted(options):
        return _submit(options, defaults, prog)
    return _bake(options, defaults)


def _refuse_moved(argv: Sequence[str], prog: str) -> None:
    from provisioner import did_you_mean
    from provisioner.errors import BadInput

    word = argv[0] if argv and not argv[0].startswith("-") else ""
    if word in _MOVED:
        raise BadInput(f"{prog} {word} was removed in 0.2.0.", f"Use worker-bakery {_MOVED[word]}.")
    if word and (found := did_you_mean.similar(word, _MOVED)):
        raise BadInput(f"{prog} has no commands.", f"Did you mean worker-bakery {found[0]}?")


def _bake(options: argparse.Namespace, defaults: Settings) -> int:
    from bakery.bake import lookup
    from bakery.runtime import progress
    from bakery.store import store

    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        wanted = bake_options.options(options, defaults)
        baked = lookup.bake(wanted, store.Store(store.default_root()), monitor)
    if options.json:
        print(json.dumps(_result(baked)))
        return 0
    print(baked.path)
    if not options.quiet:
        _show_proof(baked)
        _suggest(options, baked)
    return 0


def _submit(options: argparse.Namespace, defaults: Settings, prog: str) -> int:
    from bakery.commands.submit import command, image

    def images() -> list[JobImage]:
        return [image.image_of_options(options, bake_options.options(options, defaults))]

    return command.main(options, images, prog)


def _suggest(options: argparse.Namespace, baked: Baked) -> None:
    """Verify an image that has not joined a pool yet; else upload it."""
    from bakery.commands import verify

    if options.format == "oci":
        entry.suggest(verify.load(baked.path), "load the container image", silent=False)
    elif "pool" in baked.manifest["proof"]:
        entry.suggest(verify.upload(baked.path), "upload the image to OpenStack", silent=False)
    else:
        words = ["worker-bakery", "verify", str(baked.path), *_how_to_boot(options)]
        entry.suggest(shlex.join(words), "boot it and let it join a test pool", silent=False)


def _how_to_boot(options: argparse.Namespace) -> list[str]:
    """The options of verify that the base image needs, as far as they are not the defaults."""
    from bakery.commands import verify
    from bakery.image import bases

    if options.base_image:
        return ["--login", options.login] if options.login else []
    base = bases.find(options.base, options.arch and bases.architecture_named(options.arch))
    login = [] if base.login == verify.LOGIN else ["--login", base.login]
    return login + ([] if "bios" in base.firmware else ["--firmware", "efi"])


def _packer_files(options: argparse.Namespace, defaults: Settings) -> int:
    from bakery.bake import build
    from bakery.runtime import data, progress
    from bakery.store import store

    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        cache = store.Store(store.default_root())
        wanted = bake_options.options(options, defaults)
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
    from bakery.commands.proof_table import print_proof

    source = "from the cache" if baked.from_store else "baked"
    size = baked.manifest["size"] / 2**20
    print(f"{source}, {size:.0f} MiB, id {baked.manifest['id'][:12]}", file=sys.stderr)
    print_proof(baked.manifest["proof"])


def _dry_run(options: argparse.Namespace, defaults: Settings) -> int:
    from provisioner import plan

    planned = _planned(options, defaults)
    if options.json:
        print(json.dumps(plan.to_json(planned), indent=1))
    else:
        _print_plan(planned)
    return 0


def _planned(options: argparse.Namespace, defaults: Settings) -> Plan:
    """The plan; warns if the base has reached its end of life. Raises BadInput as a bake does."""
    from bakery.bake.options import check, make_plan
    from bakery.image import bases

    wanted = bake_options.options(options, defaults)
    check(wanted)
    base, planned = make_plan(wanted)
    ended = bases.warning(base, datetime.date.today())
    if ended:
        entry.warn(ended, as_json=options.json)
    return planned


def _explain(options: argparse.Namespace, defaults: Settings) -> int:
    from bakery.store import store
    from bakery.store.explain import explain, to_json, to_text

    found = explain(_planned(options, defaults), store.Store(store.default_root()))
    if options.json:
        print(json.dumps(to_json(found), indent=1))
    else:
        print("\n".join(to_text(found)))
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


if __name__ == "__main__":
    sys.exit(main())
