"""Runs inside a worker's root: what Debian's cloud-init makes of user-data, and what is on the disk then.

Each line on stdin is a JSON object: the user-data as base64, and the paths to look at. cloud-init's own
code unpacks it, hands its parts to its own handlers, and runs its own modules in the order of its stages:
bootcmd, write_files, runcmd, write_files_deferred, scripts. A module that fails is logged and the next one
begins, as in a boot. Scripts run for real. The answer is one line of JSON: each path's content as base64
and its mode (null: nothing there), the types of the parts, and what cloud-init logged as warnings.

A line with the key "script" asks what a shell does with it: the same answer. One with "kinds" asks only for
the types of the parts, and nothing is run; one with "schema" what cloud-init's schema has against a
cloud-config.
"""

# mypy: ignore-errors
import base64
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from cloudinit import handlers, helpers, stages, user_data, util
from cloudinit.config import (
    cc_bootcmd,
    cc_runcmd,
    cc_scripts_per_boot,
    cc_scripts_per_instance,
    cc_scripts_per_once,
    cc_scripts_user,
    cc_write_files,
    cc_write_files_deferred,
    schema,
)
from cloudinit.settings import PER_INSTANCE

CLOUD_DIR, RUN_DIR = Path("/run/cloud"), Path("/run/cloud-run")
PATHS = helpers.Paths({"cloud_dir": str(CLOUD_DIR), "run_dir": str(RUN_DIR)})
SCRIPTS = (cc_scripts_per_once, cc_scripts_per_boot, cc_scripts_per_instance, cc_scripts_user)
MODULES = (cc_bootcmd, cc_write_files, cc_runcmd, cc_write_files_deferred, *SCRIPTS)


class Kept(logging.Handler):
    """What was logged."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.said = []

    def emit(self, record):
        self.said.append(record.getMessage())


KEPT = Kept()
logging.getLogger("cloudinit").addHandler(KEPT)
logging.getLogger("cloudinit").propagate = False


class Cloud:
    """What the modules ask of a cloud."""

    paths = PATHS
    distro = SimpleNamespace(default_owner="root:root")
    get_ipath = staticmethod(PATHS.get_ipath)
    get_ipath_cur = staticmethod(PATHS.get_ipath_cur)
    get_cpath = staticmethod(PATHS.get_cpath)

    @staticmethod
    def get_instance_id():
        return "i-1"


def prepared():
    for folder in (CLOUD_DIR, RUN_DIR):
        shutil.rmtree(folder, ignore_errors=True)
    for path in ("/etc/osg-worker.conf", "/etc/other"):
        Path(path).unlink(missing_ok=True)
    instance = CLOUD_DIR / "instances" / "i-1"
    instance.mkdir(parents=True)
    (CLOUD_DIR / "instance").symlink_to(instance)
    (instance / "scripts").mkdir()
    RUN_DIR.mkdir()
    (RUN_DIR / "instance-data-sensitive.json").write_text('{"v1": {"instance_id": "i-1"}}')
    PATHS.datasource = SimpleNamespace(get_instance_id=lambda: "i-1")


def consumed(data):
    """The parts and the merged cloud-config, as `Init._do_handlers` does it."""
    message = user_data.UserDataProcessor(PATHS).process(data)
    kinds = [
        part.get_content_type() for part in message.walk() if part.get_content_maintype() != "multipart"
    ]
    known = helpers.ContentHandlers()
    own = stages.Init._default_handlers(SimpleNamespace(paths=PATHS, datasource=PATHS.datasource))
    for handler in own:
        known.register(handler, overwrite=False)
    for handler in own:
        handlers.call_begin(handler, None, PER_INSTANCE)
    walked = {
        "handlers": known,
        "handlerdir": str(CLOUD_DIR),
        "data": None,
        "frequency": PER_INSTANCE,
        "handlercount": 0,
        "excluded": [],
    }
    config = {}
    handlers.walk(message, handlers.walker_callback, data=walked)
    for handler in own:
        config = getattr(handler, "cloud_buf", None) or config
    return kinds, dict(config)


def happened(data):
    try:
        kinds, config = consumed(data)
    except Exception as problem:  # whatever cloud-init dies of is what is asked for
        KEPT.said.append(f"failed: {problem}")
        return []
    for module in MODULES:
        try:
            module.handle(module.__name__, config, Cloud, [])
        except Exception as problem:  # cloud-init catches all, too, and goes on with the next module
            KEPT.said.append(f"{module.__name__} failed: {problem}")
    return kinds


def seen(path):
    file = Path(path)
    if not file.is_file():
        return None
    return [base64.b64encode(file.read_bytes()).decode(), file.stat().st_mode & 0o7777]


def kinds_of(data):
    try:
        message = user_data.UserDataProcessor(PATHS).process(data)
    except Exception:  # as above
        return ["failed"]
    return [
        part.get_content_type() for part in message.walk() if part.get_content_maintype() != "multipart"
    ]


def complaints(text):
    try:
        config = util.load_yaml(text)
        schema.validate_cloudconfig_schema(config, schema.get_schema(), strict=True)
    except Exception as problem:  # a complaint, or what the schema's check dies of
        return str(problem)
    return ""


def answered(asked):
    if "kinds" in asked:
        return kinds_of(base64.b64decode(asked["kinds"]))
    if "schema" in asked:
        return complaints(base64.b64decode(asked["schema"]).decode())
    KEPT.said.clear()
    prepared()
    if "script" in asked:
        text = base64.b64decode(asked["script"])
        subprocess.run([asked["shell"], "/dev/stdin"], input=text, cwd="/", check=False)
        return {"files": {path: seen(path) for path in asked["paths"]}}
    kinds = happened(base64.b64decode(asked["data"]))
    return {"files": {path: seen(path) for path in asked["paths"]}, "kinds": kinds, "said": KEPT.said}


prepared()
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what scripts print is no answer
for line in sys.stdin:
    print(json.dumps(answered(json.loads(line))), file=answers, flush=True)
