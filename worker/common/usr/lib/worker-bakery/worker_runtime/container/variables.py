"""The keys of a worker whose file is not a list of variables, as variables of a container.

OSG_WORKER_ and the key in capitals: IdleTimeout is OSG_WORKER_IDLE_TIMEOUT, WorkerGroupName is
OSG_WORKER_GROUP_NAME. As with PROMINENCE's, variables replace the file. Pure.
"""

import re
from typing import List, Mapping

from worker_runtime.configuration.kind import Key, Kind

PREFIX = "OSG_WORKER_"
TOKEN_FILE = "/etc/condor/tokens.d/token.jwt"
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*")


def variable(key: str) -> str:
    """The variable of a key: OSG_WORKER_CCB_ADDRESS for CCBAddress."""
    words = _WORDS.findall(key)
    return PREFIX + "_".join(words[1:] if words[0] == "Worker" else words).upper()


def with_variables(kind: Kind, environment: Mapping[str, str]) -> Kind:
    """The kind whose keys are variables, if one of them is set."""
    if kind.form == "environment" or not any(environment.get(variable(key.name)) for key in kind.keys):
        return kind
    return kind._replace(form="environment", keys=tuple(map(_as_variable, kind.keys)))


def unknown(environment: Mapping[str, str], kind: Kind) -> List[str]:
    """The variables with this prefix that are none of the kind's."""
    known = {variable(key.name) for key in kind.keys} | {key.name for key in kind.keys}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def _as_variable(key: Key) -> Key:
    default = TOKEN_FILE if key.setting == "TokenFile" and not key.default else key.default
    instead_of = variable(key.instead_of) if key.instead_of else ""
    return key._replace(name=variable(key.name), default=default, instead_of=instead_of)
