"""Reads the inputs of a worker without systemd: variables or the worker's file, and token files.

All problems are found at once. Changes while the worker runs are applied as on a machine, if they are
valid.
"""

import os
import time
from typing import Callable, Dict, Iterable, Mapping, Optional, Tuple

from worker_runtime.configuration import condor_config, token, validation, worker_file
from worker_runtime.configuration.applied import Applied, FileStatus, Fingerprint
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.worker_file import Given, WorkerConfig
from worker_runtime.container import token_files, variables
from worker_runtime.system import files
from worker_runtime.system.console import log

# A container has no machine to power off, and its disks belong to the host.
OVERRIDES = {"OnIdle": {"poweroff": "exit", "delete": "exit"}, "ExecuteDisk": {"yes": "no"}}
# Settings that are applied only at the start.
FIXED = ("CentralManager", "MetadataGuard")


class Inputs:
    """The inputs at the start, and their changes since then."""

    def __init__(
        self,
        kind: Kind,
        environment: Mapping[str, str],
        machine: condor_config.Machine,
        readable_by_jobs: Callable[[Iterable[str]], Optional[str]],
    ) -> None:
        self.kind = kind
        self.machine = machine
        self._environment = environment
        self._readable_by_jobs = readable_by_jobs
        # Before anything is read, so that no change is missed.
        self._stamps = self._stamps_of(read_inputs(kind, environment).values)
        self._values: Mapping[str, str] = {}
        self._problems: Tuple[str, ...] = ()
        self._is_requested = False

    def request_reload(self) -> None:
        """Make the next reload read everything, although no file has changed: TokenCommand runs again."""
        self._is_requested = True

    def file_status(self) -> FileStatus:
        """The current content, and what was applied of it."""
        now, before = (
            Fingerprint(repr(sorted(stamps.items())))
            for stamps in (self._stamps_of(self._values), self._stamps)
        )
        return FileStatus(now, Applied(before, self._problems), bool(self._values.get("TokenCommand")))

    def read(self) -> WorkerConfig:
        found = load(self.kind, self._environment, self.machine)
        self._values = self._values or found.values
        return found

    def check_token_files(self, found: WorkerConfig) -> WorkerConfig:
        """With one more problem if jobs could read a token."""
        path = self._readable_by_jobs(token_files.sources(self.kind, found.values))
        if path is None:
            return found
        text = "jobs could read the token in %s; make root its owner and run chmod 600 on it" % path
        return found._replace(problems=(*found.problems, text))

    def reload(self) -> Optional[WorkerConfig]:
        """The new configuration if files have changed, or on request, and are valid; otherwise None."""
        stamps = self._stamps_of(self._values)
        if stamps == self._stamps and not self._is_requested:
            return None
        self._stamps, self._problems, self._is_requested = stamps, (), False
        kind = spelled(self.kind, self._environment)
        found = with_fixed_settings(kind, self._values, self.check_token_files(self.read()))
        for warning in found.warnings:
            log("warning: " + warning)
        if not found.problems:
            self._values = found.values
            return found
        self._problems = found.problems
        log("\n".join(found.problems))
        log("HTCondor keeps its previous configuration. The files are read again when they change.")
        return None

    def _stamps_of(self, values: Mapping[str, str]) -> Dict[str, token_files.FileStamp]:
        return token_files.stamps({self.kind.file, *token_files.sources(self.kind, values)})


def with_fixed_settings(kind: Kind, before: Mapping[str, str], found: WorkerConfig) -> WorkerConfig:
    """With a problem for each change that requires a restart of the worker."""
    changed = [name for name in FIXED if found.values and found.values[name] != before[name]]
    texts = ["a change of %s requires a restart of the worker" % kind.key(name) for name in changed]
    return found._replace(problems=(*found.problems, *texts))


def load(kind: Kind, environment: Mapping[str, str], machine: condor_config.Machine) -> WorkerConfig:
    """The configuration of the user with the token, and with all of its problems."""
    found = read_inputs(kind, environment)
    warnings = token_files.warnings(token_files.sources(kind, found.values))
    found = found._replace(warnings=(*found.warnings, *warnings))
    return with_token_time(validation.check(spelled(kind, environment), found, machine))


def spelled(kind: Kind, environment: Mapping[str, str]) -> Kind:
    """The kind whose keys have the names that this user knows: of variables, or of the file."""
    given = variables.read(environment, kind.keys)
    return kind._replace(keys=tuple(variables.spelled(kind.keys, given, os.path.exists(kind.file))))


def read_inputs(kind: Kind, environment: Mapping[str, str]) -> WorkerConfig:
    """The values of the variables and of the file, if there is one; variables override it."""
    given = variables.read(environment, kind.keys)
    if not os.path.exists(kind.file):
        found = worker_file.check(given, kind.keys, spelled(kind, environment).keys)
    else:
        raw = files.read_settled(kind.file, private=False) or b""
        found = read_both(kind, raw, given)
    # HTCondor and its jobs get none of these variables, but users of Docker can see them.
    name = kind.key("Token")
    if given.values.get(name):
        warning = "the token is in the environment, which docker inspect shows; mount it as a file"
        found = found._replace(warnings=(*found.warnings, warning))
    return found._replace(values=with_overrides(found.values))


def read_both(kind: Kind, raw: bytes, given: Given) -> WorkerConfig:
    """The values of the file with this content, and of the variables."""
    try:
        file = worker_file.read(raw, kind.keys, kind.form)
    except worker_file.Unreadable as reason:
        return with_path(WorkerConfig({}, (str(reason),), given.warnings), kind.file)
    both = variables.combine(file, given, kind.keys)
    keys = variables.spelled(kind.keys, given, has_file=True)
    has_variables = any(given.values.values())
    where = kind.file + (" and the variables" if has_variables else "")
    return with_path(worker_file.check(both, kind.keys, keys), where)


def with_path(found: WorkerConfig, path: str) -> WorkerConfig:
    """With the path of the file before each message."""
    problems, warnings = (
        tuple("%s: %s" % (path, text) for text in texts) for texts in (found.problems, found.warnings)
    )
    return WorkerConfig(found.values, problems, warnings)


def with_overrides(values: Mapping[str, str]) -> Dict[str, str]:
    """With the values that a container permits."""
    return {name: OVERRIDES.get(name, {}).get(value, value) for name, value in values.items()}


def with_token_time(found: WorkerConfig) -> WorkerConfig:
    """An expired token is a problem: the pool would reject it with a less clear message."""
    secret = found.values.get("Token", "")
    problem = token.time_problem(token.claims(secret), time.time()) if secret else None
    return found._replace(problems=(*found.problems, problem)) if problem else found
