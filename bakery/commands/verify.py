"""worker-bakery verify: verify an existing worker image, up to a level."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general, completed, whole_number

if TYPE_CHECKING:
    from bakery.bake.options import Options

LOGIN = "debian"  # the default of --login
# The options that describe the image and the test, but neither the level nor the machine.
_REPEATED = ("login", "firmware", "accel", "pool_shape", "boot_seconds", "idle_seconds")


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery verify") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv), prog), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Verify a worker image: test its files (offline), boot it (boot), let it join a test pool, run "
        "jobs and leave again (pool), and boot two machines of it, which must have nothing in common "
        "(clone). A level includes the levels below it.",
        usage="[options] IMAGE",
        examples=(
            "%(prog)s worker.qcow2",
            "%(prog)s worker.qcow2 --level boot --login rocky --firmware efi",
            "%(prog)s worker.qcow2 --signature minisign.pub",
        ),
    )
    image = made.add_argument("image", type=Path, metavar="IMAGE", help="disk image to verify")
    completed(image, "file")
    _add_main(made)
    _add_site(made)
    _add_limits(made)
    add_general(made)
    return made


def _add_main(made: Parser) -> None:
    made.add_argument(
        "--level",
        default="pool",
        choices=["offline", "boot", "pool", "clone"],
        help="highest verification level (default: %(default)s)",
    )
    signature = made.add_argument(
        "--signature",
        type=Path,
        metavar="PUBKEY",
        help="only check the signature of the image and its description with this public key of minisign; "
        "exit code 7 if a file was changed",
    )
    completed(signature, "file")
    made.add_argument(
        "--machine",
        default="vm",
        choices=["vm", "namespace"],
        help="vm: boot a virtual machine; namespace: faster, but tests neither boot loader, kernel, disk "
        "nor network card (default: %(default)s)",
    )
    made.add_argument(
        "--firmware",
        default="bios",
        choices=["bios", "efi"],
        help="firmware of the machine (default: %(default)s)",
    )
    made.add_argument(
        "--login",
        default=LOGIN,
        metavar="USER",
        help="user that cloud-init creates in the image (default: %(default)s)",
    )
    made.add_argument(
        "--accel",
        default="auto",
        choices=["auto", "kvm", "tcg"],
        help="accelerator of the virtual machine (default: %(default)s)",
    )


def _add_site(made: Parser) -> None:
    tests = made.add_argument(
        "--test",
        dest="tests",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="testinfra file of your own that runs at each level, see the how-to guide; repeatable",
    )
    completed(tests, "file")


def _add_limits(made: Parser) -> None:
    group = made.add_argument_group("test pool and time limits")
    group.add_argument(
        "--pool-shape",
        default="plain",
        choices=["plain", "ospool"],
        help="plain: one central manager; ospool: two, of which the first stops while a job runs "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--boot-seconds",
        type=whole_number,
        default=120,
        metavar="N",
        help="time for ssh to answer with KVM; without KVM five times as long (default: %(default)s)",
    )
    group.add_argument(
        "--idle-seconds",
        type=whole_number,
        default=20,
        metavar="N",
        help="IdleTimeout of the worker at the end of the test (default: %(default)s)",
    )


def _main(options: argparse.Namespace, prog: str) -> int:
    from bakery.commands.command_line.proof_table import print_proof
    from bakery.runtime import progress
    from bakery.store import store
    from bakery.verify import site_tests
    from bakery.verify.verification import Request, up_to, verify

    settings.load()
    if options.signature:
        _check_signature(options)
        return 0
    request = Request(
        options.image.resolve(),
        up_to(options.level),
        options.login,
        accelerator=options.accel,
        firmware=options.firmware,
        boot_seconds=options.boot_seconds,
        idle_seconds=options.idle_seconds,
        machine=options.machine,
        pool_shape=options.pool_shape,
        tests=tuple(options.tests),
    )
    site_tests.check(request.tests)
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        proof = verify(request, store.Store(store.default_root()), monitor)
    if options.json:
        print(json.dumps({"image": str(options.image), "proof": proof}))
    elif not options.quiet:
        print_proof(proof)
    _suggest(options, prog)
    return 0


def _check_signature(options: argparse.Namespace) -> None:
    """Raises WrongChecksum: the image, its description or the signature was changed."""
    from bakery.description import signature
    from provisioner.errors import WrongChecksum

    image = options.image.resolve()
    found = signature.problems(image, options.signature)
    if found:
        hint = "Do not use the image; get it and its description again from their publisher."
        raise WrongChecksum(f"The signature of {options.image} is not valid. {' '.join(found)}", hint)
    if options.json:
        print(json.dumps({"image": str(options.image), "signature": "valid"}))
    elif not options.quiet:
        print(f"{options.image}: the signature is valid for the image and its description.")


def _suggest(options: argparse.Namespace, prog: str) -> None:
    """Load a container image; upload a fully verified disk; verify others up to the highest level."""
    from bakery.output.oci.root import is_archive

    silent = options.json or options.quiet
    if is_archive(options.image):
        entry.suggest(load(options.image), "load the container image", silent=silent)
    elif options.level in ("pool", "clone") and options.machine == "vm":
        entry.suggest(upload(options.image), "upload the image to OpenStack", silent=silent)
    else:
        words = [*prog.split(), str(options.image), *_repeated(options, prog)]
        entry.suggest(shlex.join(words), "boot it and let it join a test pool", silent=silent)


def _repeated(options: argparse.Namespace, prog: str) -> list[str]:
    """The options that the next verification needs, too, as far as they are not the defaults."""
    defaults = parser(prog)
    return [
        word
        for name in _REPEATED
        if (value := getattr(options, name)) != defaults.get_default(name)
        for word in (f"--{name.replace('_', '-')}", str(value))
    ] + [word for file in options.tests for word in ("--test", str(file))]


def command(wanted: Options, image: Path) -> str:
    """The command that verifies an image baked with these options, as its base requires."""
    words = ["worker-bakery", "verify", str(image), *_how_to_boot(wanted)]
    return shlex.join(words)


def _how_to_boot(wanted: Options) -> list[str]:
    """The options that the base image needs, as far as they are not the defaults."""
    from bakery.bake.options import base_named

    if wanted.base_image:
        return ["--login", wanted.base_image.login] if wanted.base_image.login else []
    base = base_named(wanted.base, wanted.architecture)
    login = [] if base.login == LOGIN else ["--login", base.login]
    return login + ([] if "bios" in base.firmware else ["--firmware", "efi"])


def load(image: Path) -> str:
    """The command that loads a container image: an archive, or a folder that is an OCI layout."""
    is_archive = image.suffix == ".tar" or image.is_file()
    source = ["load", "-i", str(image)] if is_archive else ["pull", f"oci:{image}"]
    return shlex.join(["podman", *source])


def upload(image: Path) -> str:
    """The command that uploads a disk image to OpenStack under the name of its file."""
    form = ["--disk-format", "qcow2", "--container-format", "bare"]
    return shlex.join(["openstack", "image", "create", *form, "--file", str(image), image.stem])


if __name__ == "__main__":
    sys.exit(main())
