"""The settings in force, published for all parts of the runtime, without secrets.

There are three layers, of which a later one overrides an earlier one: the defaults of the key table, the
image's defaults (DEFAULTS_FILE), and the worker's file. `worker configure` publishes the result; before
that, the first two layers are in force.
"""

import json
import os
from typing import Dict, Mapping, NamedTuple, Tuple

from worker_runtime.configuration import kind
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.worker_file import WorkerConfig, parse, values_by_setting
from worker_runtime.system import files, paths

DEFAULTS_FILE = "/etc/worker-defaults.conf"
PUBLISHED = paths.RUN + "/settings.json"
SECRET = frozenset(
    {"Token", "TokenFile", "TokenCommand", "ServerCredential", "ServerCredentialCommand"}
)


class Table(NamedTuple):
    """The kind of worker with the image's defaults."""

    kind: Kind
    warnings: Tuple[str, ...]  # about DEFAULTS_FILE


def load_table() -> Table:
    """The kind of worker with the image's defaults. Invalid defaults are ignored and reported."""
    plain = kind.load()
    try:
        with open(DEFAULTS_FILE, "rb") as site:
            raw = site.read()
    except FileNotFoundError:
        raw = b""
    conf = _image_defaults(raw, plain)
    own = tuple(key._replace(default=conf.values.get(key.setting, key.default)) for key in plain.keys)
    messages = conf.problems + conf.warnings
    return Table(plain._replace(keys=own), tuple("%s: %s" % (DEFAULTS_FILE, what) for what in messages))


def _image_defaults(raw: bytes, plain: Kind) -> WorkerConfig:
    optional = [key._replace(required=False) for key in plain.keys if key.setting not in SECRET]
    conf = parse(raw, optional, plain.form)
    # All or nothing: half of the defaults may not make sense.
    return WorkerConfig({}, conf.problems, conf.warnings) if conf.problems else conf


def current() -> Dict[str, str]:
    """The settings in force."""
    try:
        with open(PUBLISHED, encoding="utf-8") as file:
            values: Dict[str, str] = json.load(file)
            return values
    except FileNotFoundError:
        return without_secrets(values_by_setting({}, load_table().kind.keys))


def publish(values: Mapping[str, str]) -> None:
    """Publish the settings, readable by everybody. The file's time says since when they are in force."""
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    shown = json.dumps(without_secrets(values), indent=1, sort_keys=True)
    files.put(PUBLISHED, shown.encode("ascii"), 0o644)
    os.utime(PUBLISHED)


def without_secrets(values: Mapping[str, str]) -> Dict[str, str]:
    """The values that may be published."""
    return {name: value for name, value in values.items() if name not in SECRET}
