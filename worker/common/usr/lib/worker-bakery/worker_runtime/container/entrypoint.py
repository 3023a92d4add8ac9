"""`worker run`, the entry point of a container: does the work of systemd, its units and cloud-init.

    configure   the environment or the worker's file; with any problem nothing is started
    prepare     directories, accounts and the metadata guard, as far as the container permits
    supervise   HTCondor as a child, with the same inspections, states and messages as on a machine

The worker shuts down by ending the container, with status 0 if it did its work.
"""

import shutil
import time
from typing import Callable, Iterable, Mapping, NamedTuple, Optional

from worker_runtime.configuration import condor_config, instance, settings
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.container import init, preparation, token_files, token_variable
from worker_runtime.container.inputs import Inputs
from worker_runtime.container.master import Master
from worker_runtime.container.supervision import supervise
from worker_runtime.jobs import metadata_guard
from worker_runtime.system import paths
from worker_runtime.system.console import log

BAD_INPUT = 2
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Host(NamedTuple):
    """What differs between a container and user mode."""

    create_folders: Callable[[], None]  # before any of HTCondor's tools runs
    prepare: Callable[[Mapping[str, str]], Optional[bool]]
    kind: Callable[[Kind], Kind]  # with the defaults of this environment
    readable_by_jobs: Callable[[Iterable[str]], Optional[str]]  # the first file that jobs can read
    environment: Mapping[str, str]  # HTCondor's; ours may contain the token
    limited: bool  # whether jobs run under accounts of slots


def main() -> int:
    """Run the worker of a container; the exit status."""
    problem = preparation.problem()
    if problem:
        log(problem)
        return BAD_INPUT
    host = Host(
        preparation.reset_run_folder,
        preparation.prepare,
        container_kind,
        token_files.readable_by_jobs,
        ENVIRONMENT,
        limited=True,
    )
    return start(host)


def start(host: Host) -> int:
    """Run the worker in a child process, with its variables; the exit status."""
    environment = token_variable.take()
    return init.run(lambda: run_worker(host, environment))


def run_worker(host: Host, environment: Mapping[str, str]) -> int:
    """Read the inputs and run HTCondor; the exit status."""
    host.create_folders()
    table = settings.load_table()
    for warning in table.warnings:
        log("warning: " + warning)
    machine = condor_config.Machine(
        int(time.time()), instance.attributes(), instance.machine_number(), instance.image_date()
    )
    inputs = Inputs(host.kind(table.kind), environment, machine, host.readable_by_jobs)
    conf = inputs.read()
    for warning in conf.warnings:
        log("warning: " + warning)
    return refuse(conf) if conf.problems else run_htcondor(inputs, conf, host)


def run_htcondor(inputs: Inputs, conf: WorkerConfig, host: Host) -> int:
    """Run HTCondor with this configuration to its end."""
    try:
        guarded = host.prepare(conf.values)
    except OSError as error:
        log("HTCondor was not started: %s: %s" % (error.filename, error.strerror))
        return BAD_INPUT
    if guarded is None:
        return 1
    try:
        conf = inputs.check_token_files(conf)
        if conf.problems:
            return refuse(conf)
        preparation.install(inputs.kind, conf, inputs.machine)
        return supervise(Master(host.environment, limited=host.limited), inputs)
    finally:
        shutil.rmtree(inputs.kind.tokens, ignore_errors=True)
        if guarded:
            metadata_guard.switch(False, metadata_guard.has_ipv6())


def refuse(conf: WorkerConfig) -> int:
    """Report the problems; the exit status."""
    log("\n".join(conf.problems))
    log("HTCondor was not started. Correct these problems and start the worker again.")
    return BAD_INPUT


def container_kind(plain: Kind) -> Kind:
    """The kind for a container, where HTCondor's usual directory of tokens belongs to the host."""
    return plain._replace(tokens=paths.CONTAINER_TOKENS, user_tokens=paths.TOKENS)
