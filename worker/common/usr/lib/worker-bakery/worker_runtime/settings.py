"""The values in force, for all parts of the runtime; never the token.

Three layers, the later wins: the table's defaults, the image's own (SITE, for whoever bakes it),
and the worker's file. `worker configure` publishes what came of them; until then the first two hold.
"""

import json
import os
from typing import Any, Dict, Mapping, NamedTuple, Tuple

from worker_runtime import files
from worker_runtime.conf import Conf, Key, keys_of, parse

TABLE = "/usr/lib/worker-bakery/keys.json"
SITE = "/etc/worker-defaults.conf"
RUN = "/run/worker-bakery"
PUBLISHED = RUN + "/settings.json"
SECRET = frozenset({"Token", "TokenFile", "TokenCommand"})


class Table(NamedTuple):
    path: str  # of the worker's file
    keys: Tuple[Key, ...]
    complaints: Tuple[str, ...]  # about SITE


def table() -> Table:
    """The keys, with the image's own defaults. What is wrong there is left out and said."""
    with open(TABLE, encoding="utf-8") as file:
        rows: Dict[str, Any] = json.load(file)
    keys = keys_of(rows)
    try:
        with open(SITE, "rb") as site:
            raw = site.read()
    except FileNotFoundError:
        raw = b""
    conf = _of_site(raw, keys)
    own = tuple(key._replace(default=conf.values.get(key.name, key.default)) for key in keys)
    said = conf.problems + conf.warnings
    return Table(str(rows["file"]), own, tuple("%s: %s" % (SITE, what) for what in said))


def _of_site(raw: bytes, keys: Tuple[Key, ...]) -> Conf:
    optional = [key._replace(required=False) for key in keys if key.name not in SECRET]
    conf = parse(raw, optional)
    # Half of what somebody meant is nothing he meant.
    return Conf({}, conf.problems, conf.warnings) if conf.problems else conf


def current() -> Dict[str, str]:
    """The values in force now."""
    try:
        with open(PUBLISHED, encoding="utf-8") as file:
            values: Dict[str, str] = json.load(file)
            return values
    except FileNotFoundError:
        return {key.name: key.default for key in table().keys if key.name not in SECRET}


def publish(values: Mapping[str, str]) -> None:
    """For everybody to read, so without what is secret. The file's time says since when they hold."""
    os.makedirs(RUN, 0o755, exist_ok=True)
    shown = {name: value for name, value in values.items() if name not in SECRET}
    files.put(PUBLISHED, json.dumps(shown, indent=1, sort_keys=True).encode("ascii"), 0o644)
    os.utime(PUBLISHED)
