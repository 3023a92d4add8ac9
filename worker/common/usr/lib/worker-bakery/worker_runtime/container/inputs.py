"""What the user says where no systemd is: by variables or the worker's file, and by files that hold tokens.

All that is wrong is found at once. What changes while the worker runs is taken up as on a machine, if
nothing is wrong with it then.
"""

import os
import time
from typing import Callable, Dict, Iterable, Mapping, Optional, Tuple

from worker_runtime.configuration import condor_config, token, validation, worker_file
from worker_runtime.configuration.applied import Applied, FileStatus, Fingerprint
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.container import token_files
from worker_runtime.system import files
from worker_runtime.system.console import log

# What is different where there is no machine to power off, and whose disks are the host's.
OVERRIDES = {"OnIdle": {"poweroff": "exit"}, "ExecuteDisk": {"yes": "no"}}
# What was done about these at the start is not done again.
FIXED = ("CentralManager", "MetadataGuard")


class Inputs:
    """What was said at the start, and since then."""

    def __init__(
        self,
        kind: Kind,
        place: condor_config.Machine,
        readable_by_jobs: Callable[[Iterable[str]], Optional[str]],
    ) -> None:
        self.kind = kind
        self.place = place
        self._readable_by_jobs = readable_by_jobs
        # Before anything is read, so that no change is missed.
        self._look = self._looked(read_inputs(kind, os.environ).values)
        self._values: Mapping[str, str] = {}
        self._problems: Tuple[str, ...] = ()

    def reading(self) -> FileStatus:
        """What is there now, and what of it was taken up."""
        now, before = (
            Fingerprint(repr(sorted(looked.items()))) for looked in (self._looked(self._values), self._look)
        )
        return FileStatus(now, Applied(before, self._problems))

    def read(self) -> WorkerConfig:
        found = load(self.kind, os.environ, self.place)
        self._values = self._values or found.values
        return found

    def closed(self, found: WorkerConfig) -> WorkerConfig:
        """With a problem more if jobs could read a token."""
        path = self._readable_by_jobs(token_files.sources(self.kind, found.values))
        if path is None:
            return found
        text = "jobs could read the token in %s; chmod 600 it, and have it be root's" % path
        return found._replace(problems=(*found.problems, text))

    def changed(self) -> Optional[WorkerConfig]:
        """What is said now, if files have changed and nothing is wrong with them."""
        look = self._looked(self._values)
        if look == self._look:
            return None
        self._look, self._problems = look, ()
        found = with_fixed_settings(self.kind, self._values, self.closed(self.read()))
        for warning in found.warnings:
            log("warning: " + warning)
        if not found.problems:
            self._values = found.values
            return found
        self._problems = found.problems
        log("\n".join(found.problems))
        log("HTCondor goes on as before. The files are read again as soon as they change.")
        return None

    def _looked(self, values: Mapping[str, str]) -> Dict[str, token_files.FileStamp]:
        return token_files.stamps({self.kind.file, *token_files.sources(self.kind, values)})


def with_fixed_settings(kind: Kind, before: Mapping[str, str], found: WorkerConfig) -> WorkerConfig:
    """With a problem for each change that this worker cannot follow."""
    late = [name for name in FIXED if found.values and found.values[name] != before[name]]
    texts = ["another %s needs a new start of the worker" % kind.key(name) for name in late]
    return found._replace(problems=(*found.problems, *texts))


def load(kind: Kind, environment: Mapping[str, str], place: condor_config.Machine) -> WorkerConfig:
    """What the user said, with the token, and with all that is wrong with it."""
    found = read_inputs(kind, environment)
    warnings = token_files.warnings(token_files.sources(kind, found.values))
    found = found._replace(warnings=(*found.warnings, *warnings))
    return with_token_time(validation.check(kind, found, place))


def read_inputs(kind: Kind, environment: Mapping[str, str]) -> WorkerConfig:
    """By the environment, or by the file if none of the variables is set."""
    by_file = os.path.exists(kind.file) and not any(environment.get(key.name) for key in kind.keys)
    if by_file or kind.form != "environment":
        raw = files.read_settled(kind.file, private=False) or b""
        found = with_path(worker_file.parse(raw, kind.keys, kind.form), kind.file)
    else:
        found = worker_file.from_environment(environment, kind.keys)
        # HTCondor and its jobs get none of these variables; whoever may ask Docker sees them.
        if environment.get(kind.key("Token")):
            more = "the token is in the environment, which docker inspect shows; mount it as a file"
            found = found._replace(warnings=(*found.warnings, more))
    return found._replace(values=with_overrides(found.values))


def with_path(found: WorkerConfig, path: str) -> WorkerConfig:
    problems, warnings = (
        tuple("%s: %s" % (path, text) for text in texts) for texts in (found.problems, found.warnings)
    )
    return WorkerConfig(found.values, problems, warnings)


def with_overrides(values: Mapping[str, str]) -> Dict[str, str]:
    return {name: OVERRIDES.get(name, {}).get(value, value) for name, value in values.items()}


def with_token_time(found: WorkerConfig) -> WorkerConfig:
    """An expired token is refused: the pool would, and say less."""
    secret = found.values.get("Token", "")
    problem = token.time_problem(token.claims(secret), time.time()) if secret else None
    return found._replace(problems=(*found.problems, problem)) if problem else found
