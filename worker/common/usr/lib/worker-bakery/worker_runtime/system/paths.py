"""The paths of the runtime: on a machine, in a container, or in the directory of `worker run --user`.

In user mode, HOME is in the environment of every program that the worker starts, HTCondor's probes
included.
"""

import os

from worker_runtime.system import user_home

# Where kind.json and the other tables are: /usr/lib/worker-bakery, three directories up.
DATA = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOME = os.environ.get("WORKER_BAKERY_HOME", "") or user_home.existing()  # "": not in user mode
RUN = HOME + "/run" if HOME else "/run/worker-bakery"
STATUS = RUN + "/status.json"  # the state of the worker as of the last inspection
SERVER_CREDENTIAL = RUN + "/server-credential"  # readable by root only, see lifecycle/self_deletion.py
HEALTH = RUN + "/health/health.json"  # the last report of `worker health`
CONDOR = HOME + "/condor" if HOME else "/etc/condor"
LOG = HOME + "/log" if HOME else "/var/log/condor"
EXECUTE = HOME + "/execute"  # in user mode; otherwise `worker storage` chooses
CONFIG_DIR = CONDOR + "/config.d"
ROOT_CONFIG = CONDOR + "/condor_config"
TOKENS = CONDOR + "/tokens.d"
# In a container, TOKENS belongs to the user, and HTCondor has a directory of its own.
CONTAINER_TOKENS = RUN + "/tokens.d"
CONTAINER_CONFIG_DIR = RUN + "/config.d"


def written_config(name: str) -> str:
    """The path of a file of HTCondor's configuration that the worker writes.

    In a container, where the root may be read-only, CONFIG_DIR has a file of this name that includes it
    (provisioner/roles/container.py).
    """
    folder = CONTAINER_CONFIG_DIR if os.path.isdir(CONTAINER_CONFIG_DIR) else CONFIG_DIR
    return os.path.join(folder, name)
