"""Apply user-data with Debian's cloud-init in the root of a worker image.

Each line on stdin names a file of user-data. cloud-init's own code decompresses it, splits it into parts,
merges the cloud-configs, and writes the files. The result is one line.
"""

# mypy: ignore-errors
import sys
from pathlib import Path
from types import SimpleNamespace

from cloudinit import helpers, user_data
from cloudinit.config import cc_write_files
from cloudinit.handlers.cloud_config import CloudConfigPartHandler

PATHS = helpers.Paths({"cloud_dir": "/run/cloud", "run_dir": "/run/cloud-run"})
CLOUD = SimpleNamespace(paths=PATHS, distro=SimpleNamespace(default_owner="root:root"))


def apply(path):
    message = user_data.UserDataProcessor(PATHS).process(Path(path).read_bytes())
    handler = CloudConfigPartHandler(PATHS)
    handler.handle_part(None, "__begin__", None, None, None, None)
    for part in message.walk():
        if part.get_content_type() == "text/cloud-config":
            payload = part.get_payload(decode=True).decode("utf-8")
            handler.handle_part(None, "text/cloud-config", part.get_filename(), payload, None, part)
    config = dict(handler.cloud_buf)
    cc_write_files.handle("write_files", config, CLOUD, [])


for line in sys.stdin:
    apply(line.rstrip("\n"))
    print("done", flush=True)
