"""Asks HTCondor how it reads the new configuration, before that replaces the old one.

The configuration is read in a copy of its directory, twice. Read up to the new file, every macro must have
exactly the intended value. Read as a whole, a later file of the site may override macros, which is
reported.
"""

import os
import shutil
import tempfile
from typing import Dict, List, Mapping, NamedTuple, Sequence

from worker_runtime.configuration import condor_config
from worker_runtime.configuration.kind import Kind
from worker_runtime.system import paths
from worker_runtime.system.command import Completed, run
from worker_runtime.system.paths import CONFIG_DIR, ROOT_CONFIG

SECONDS = 180  # HTCondor resolves the machine's own name first, which may take minutes


class Findings(NamedTuple):
    """What HTCondor says about the configuration."""

    problems: List[str]
    warnings: List[str]


class Unreadable(Exception):
    """HTCondor cannot read the configuration at all."""


def check_configuration(kind: Kind, values: Mapping[str, str], machine: condor_config.Machine) -> Findings:
    """Would HTCondor read the intended values from the worker's file in CONFIG_DIR?"""
    name, text = kind.config_name, condor_config.render(kind, values, machine)
    try:
        names = condor_config.guards(kind, values)
        guards = read_macros(name, text, names, whole=False)
        wanted = condor_config.expected_values(kind, values, machine, [guards[one] for one in names])
        exact = read_macros(name, text, sorted(wanted), whole=False)
        whole = read_macros(name, text, sorted(wanted), whole=True)
    except Unreadable as refusal:
        return Findings([str(refusal)], [])
    return Findings(
        ["HTCondor would read a different value of %s" % key for key in differences(wanted, exact)],
        ["a configuration file after %s overrides %s" % (name, key) for key in differences(wanted, whole)],
    )


def differences(wanted: Mapping[str, str], read: Mapping[str, str]) -> List[str]:
    """The names of the macros whose value differs."""
    return [key for key in sorted(wanted) if read[key] != wanted[key]]


def read_macros(name: str, text: str, macros: Sequence[str], whole: bool) -> Dict[str, str]:
    """The macros as HTCondor expands them, with `text` as the file `name`.

    `whole` reads all files; otherwise only those up to `name`. Raises Unreadable.
    """
    tree = tempfile.mkdtemp(prefix="worker-proof.", dir=os.path.dirname(paths.RUN))
    try:
        answer = run_tool(["condor_config_val", *macros], _copy(tree, name, text, whole))
    finally:
        shutil.rmtree(tree)
    lines = answer.out.splitlines()
    if answer.status != 0 or len(lines) != len(macros):
        raise Unreadable("HTCondor rejects the configuration: " + (answer.error or "unexpected output"))
    return dict(zip(macros, lines))  # noqa: B905  # strict= is too new


def _copy(tree: str, name: str, text: str, whole: bool) -> Dict[str, str]:
    """A copy of the configuration with `text` in it; the environment in which to read the copy."""
    folder = os.path.join(tree, "config.d")
    os.mkdir(folder)
    for other in os.listdir(CONFIG_DIR):
        if other < name or (whole and other > name):
            os.symlink(os.path.join(CONFIG_DIR, other), os.path.join(folder, other))
    with open(os.path.join(folder, name), "wb") as file:
        file.write(text.encode("utf-8"))
    with open(ROOT_CONFIG, "rb") as file:
        root = file.read()
    # LOCAL_CONFIG_DIR may list several directories; CONFIG_DIR is one of them.
    folders = run_tool(["condor_config_val", "LOCAL_CONFIG_DIR"], {})
    if folders.status != 0:
        raise Unreadable("the current configuration of HTCondor is broken: " + folders.error)
    own = "\nLOCAL_CONFIG_DIR = %s\n" % folders.out.strip().replace(CONFIG_DIR, folder)
    copied = os.path.join(tree, "condor_config")
    with open(copied, "wb") as file:
        file.write(root + own.encode("utf-8"))
    return {"CONDOR_CONFIG": copied}


def check_expression(text: str) -> Findings:
    """Can HTCondor's own parser read the expression?"""
    tool = "classad_eval"
    # First with a valid expression: the tool is a script whose library may be missing, and its failure
    # would then say nothing about the text.
    if not shutil.which(tool) or run_tool([tool, "( true )"], {}).status != 0:
        return Findings([], ["Start was not checked: %s does not work here" % tool])
    answer = run_tool([tool, "( %s )" % text], {})
    if answer.status != 0:
        return Findings(["Start is not a ClassAd expression"], [])
    if answer.out.split()[-1:] == ["error"]:
        return Findings([], ["Start evaluates to an error (a function that does not exist?)"])
    return Findings([], [])


def run_tool(argv: Sequence[str], env: Mapping[str, str]) -> Completed:
    """Run one of HTCondor's tools."""
    return run(argv, SECONDS, env=env)


def combine(first: Findings, second: Findings) -> Findings:
    """The findings of both."""
    return Findings(first.problems + second.problems, first.warnings + second.warnings)
