"""Where things are: on a machine or in a container, which are the worker's own; or an ordinary user's.

HOME is in the environment of all that `worker run --user` starts, HTCondor's probes included.
"""

import os

# Where kind.json and the other tables are: /usr/lib/worker-bakery, three folders up.
DATA = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOME = os.environ.get("WORKER_BAKERY_HOME", "")  # "": nothing is in the way of the usual places
RUN = HOME + "/run" if HOME else "/run/worker-bakery"
STATUS = RUN + "/status.json"  # the state of the worker as of the last inspection
HEALTH = RUN + "/health/health.json"  # what `worker health` found last
CONDOR = HOME + "/condor" if HOME else "/etc/condor"
LOG = HOME + "/log" if HOME else "/var/log/condor"
EXECUTE = HOME + "/execute"  # a user's; else `worker storage` finds the place
CONFIG_DIR = CONDOR + "/config.d"
ROOT_CONFIG = CONDOR + "/condor_config"
TOKENS = CONDOR + "/tokens.d"
# In a container that is the user's, and HTCondor has a folder of its own.
CONTAINER_TOKENS = RUN + "/tokens.d"
