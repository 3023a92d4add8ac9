"""Checks the values of the worker's file, with the token, and asks HTCondor how it reads them."""

from typing import List

from worker_runtime.configuration import condor_config, configuration_check, ospool_config, settings, token
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.worker_file import WorkerConfig


def check(kind: Kind, conf: WorkerConfig, machine: condor_config.Machine) -> WorkerConfig:
    """The configuration with the token and with all problems.

    HTCondor is asked only if there are no others.
    """
    conf = with_token(
        kind, conf._replace(values=ospool_config.with_default_names(kind, conf.values, machine.attributes))
    )
    conf = token.with_server_credential(conf)
    return conf if conf.problems else check_with_htcondor(kind, conf, machine)


def check_with_htcondor(kind: Kind, conf: WorkerConfig, machine: condor_config.Machine) -> WorkerConfig:
    """With the problems and warnings that HTCondor reports."""
    values = conf.values
    verdict = configuration_check.check_configuration(kind, values, machine)
    for text in expressions(kind, conf):
        verdict = configuration_check.combine(configuration_check.check_expression(text), verdict)
    return WorkerConfig(values, tuple(verdict.problems), conf.warnings + tuple(verdict.warnings))


def expressions(kind: Kind, conf: WorkerConfig) -> List[str]:
    """The values that are ClassAd expressions."""
    given = (conf.values[key.setting] for key in kind.keys if key.kind == "expression")
    return [text for text in given if text]


def with_token(kind: Kind, conf: WorkerConfig) -> WorkerConfig:
    """With the token, from wherever the values say; with one more problem if it cannot be obtained."""
    secrets = [key.name for key in kind.keys if key.setting in settings.SECRET]
    if not conf.values or any(problem.startswith(tuple(secrets)) for problem in conf.problems):
        return conf
    try:
        found = token.obtain(kind, conf.values)
    except token.NoToken as reason:
        return conf._replace(problems=(*conf.problems, str(reason)))
    return conf._replace(values=dict(conf.values, Token=found))
