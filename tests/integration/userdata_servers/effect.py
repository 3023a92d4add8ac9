"""Run user-data with Debian's cloud-init in the root of a worker image, and return the files it writes.

Each line on stdin is a request in JSON: the user-data as base64 ("data"), and the paths of files ("paths").
cloud-init's own code decompresses it, passes its parts to its own handlers, and runs its own modules in the
order of its stages: bootcmd, write_files, runcmd, write_files_deferred, scripts. A module that fails is
logged and the next one starts, as in a boot. Scripts are executed. The result is one line of JSON: the
content of each path as base64 and its mode (null: no file), the types of the parts, and the warnings that
cloud-init logged.

A request with the key "script" runs a script with a shell; the result is the same. One with "kinds" returns
only the types of the parts and runs nothing; one with "schema" returns the error of cloud-init's schema.
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
    """Keep the logged messages."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


KEPT = Kept()
logging.getLogger("cloudinit").addHandler(KEPT)
logging.getLogger("cloudinit").propagate = False


class Cloud:
    """The part of a Cloud object that the modules use."""

    paths = PATHS
    distro = SimpleNamespace(default_owner="root:root")
    get_ipath = staticmethod(PATHS.get_ipath)
    get_ipath_cur = staticmethod(PATHS.get_ipath_cur)
    get_cpath = staticmethod(PATHS.get_cpath)

    @staticmethod
    def get_instance_id():
        return "i-1"


def prepare():
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


def process(data):
    """The types of the parts and the merged cloud-config, as in `Init._do_handlers`."""
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
    data_of_walk = {
        "handlers": known,
        "handlerdir": str(CLOUD_DIR),
        "data": None,
        "frequency": PER_INSTANCE,
        "handlercount": 0,
        "excluded": [],
    }
    config = {}
    handlers.walk(message, handlers.walker_callback, data=data_of_walk)
    for handler in own:
        config = getattr(handler, "cloud_buf", None) or config
    return kinds, dict(config)


def run_modules(data):
    try:
        kinds, config = process(data)
    except Exception as problem:  # any failure of cloud-init is a result
        KEPT.messages.append(f"failed: {problem}")
        return []
    for module in MODULES:
        try:
            module.handle(module.__name__, config, Cloud, [])
        except Exception as problem:  # cloud-init also catches everything and runs the next module
            KEPT.messages.append(f"{module.__name__} failed: {problem}")
    return kinds


def file_at(path):
    file = Path(path)
    if not file.is_file():
        return None
    return [base64.b64encode(file.read_bytes()).decode(), file.stat().st_mode & 0o7777]


def kinds_of(data):
    try:
        message = user_data.UserDataProcessor(PATHS).process(data)
    except Exception:  # whatever it is that cloud-init cannot read
        return ["failed"]
    return [
        part.get_content_type() for part in message.walk() if part.get_content_maintype() != "multipart"
    ]


def schema_error(text):
    try:
        config = util.load_yaml(text)
        schema.validate_cloudconfig_schema(config, schema.get_schema(), strict=True)
    except Exception as problem:  # an error of the schema, or any failure of its check
        return str(problem)
    return ""


def result_of(request):
    if "kinds" in request:
        return kinds_of(base64.b64decode(request["kinds"]))
    if "schema" in request:
        return schema_error(base64.b64decode(request["schema"]).decode())
    KEPT.messages.clear()
    prepare()
    if "script" in request:
        text = base64.b64decode(request["script"])
        subprocess.run([request["shell"], "/dev/stdin"], input=text, cwd="/", check=False)
        return {"files": {path: file_at(path) for path in request["paths"]}}
    kinds = run_modules(base64.b64decode(request["data"]))
    return {
        "files": {path: file_at(path) for path in request["paths"]},
        "kinds": kinds,
        "messages": KEPT.messages,
    }


prepare()
results = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # the output of scripts is not a result
for line in sys.stdin:
    print(json.dumps(result_of(json.loads(line))), file=results, flush=True)
