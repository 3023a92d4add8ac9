"""Settings of a customization in files: sysctl, HTCondor, defaults of the worker's file, the definition."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from provisioner.errors import BakeryError
from provisioner.roles import Context
from provisioner.roles.customization import Customization
from provisioner.roles.site import certificates
from provisioner.steps import File, Step

SYSCTL = "/etc/sysctl.d/60-site.conf"
# Between the worker's own settings (10 to 40), and those of ospool (50) and of the worker's file (90).
CONDOR = "/etc/condor/config.d/45-site.config"
KEYS = "/usr/lib/worker-bakery/keys.json"
DEFINITION = "/usr/lib/worker-bakery/definition.json"
_HEAD = "# From the definition of this image.\n"


def sysctl(own: Customization) -> Iterator[Step]:
    """The file of kernel parameters, see sysctl.d(5)."""
    if own.sysctl:
        yield File(SYSCTL, _lines(own.sysctl))


def condor(own: Customization) -> Iterator[Step]:
    """The file of HTCondor's configuration."""
    if own.condor:
        yield File(CONDOR, _lines(own.condor))


def _lines(pairs: tuple[tuple[str, str], ...]) -> bytes:
    return "".join([_HEAD, *(f"{name} = {value}".rstrip() + "\n" for name, value in pairs)]).encode()


def worker_defaults(context: Context) -> Iterator[Step]:
    """The table of keys with the defaults of the site, in place of the original.

    The guest reads the defaults there. Keys and values were checked (bakery/image/worker_defaults.py).
    """
    wanted = dict(context.customization.worker)
    if not wanted:
        return
    original = next((file for file in context.files if file.path == KEYS), None)
    if original is None:
        raise BakeryError(f"The worker has no {KEYS}.")
    table = json.loads(original.data)
    for row in table["keys"]:
        row["default"] = wanted.get(row["key"], row["default"])
    yield File(KEYS, (json.dumps(table, indent=2, ensure_ascii=False) + "\n").encode())


def definition(context: Context) -> Iterator[Step]:
    """The name and version of the definition, and the digests of its certificate authorities and files.

    The checks of the image accept these, where they refuse others: authorities, proxies, keys of ssh.
    """
    own = context.customization
    said = {
        "name": own.name,
        "version": own.version,
        "ca_certificates": certificates.digests(context),
        "files": {file.path: hashlib.sha256(file.data).hexdigest() for file in own.files},
    }
    present = {name: value for name, value in said.items() if value}
    if present:
        yield File(DEFINITION, (json.dumps(present, indent=1, ensure_ascii=False) + "\n").encode())
