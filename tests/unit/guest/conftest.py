"""The guest runtime is imported from where it lies in the image's tree, not as an installed one."""

import json
import sys

from bakery import data

RUNTIME = data.WORKER / "common/usr/lib/worker-bakery"

# What lies there is copied into images as it is; no compiled files among it.
sys.dont_write_bytecode = True
sys.path.insert(0, str(RUNTIME))

from worker_runtime.conf import keys_of  # noqa: E402

KEYS = keys_of(json.loads((data.WORKER / "osg/usr/lib/worker-bakery/keys.json").read_text()))
