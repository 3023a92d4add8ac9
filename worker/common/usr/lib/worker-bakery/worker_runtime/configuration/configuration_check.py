"""Ask HTCondor itself how it reads what we wrote, before that takes the place of the old.

The configuration is read in a copy of its tree, twice: up to the new file, where everything
must come back exactly as it was meant; and as a whole, where a later file of the site may say
otherwise, which is then said aloud.
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

SECONDS = 180  # HTCondor looks for the machine's own name first, which may take minutes


class Findings(NamedTuple):
    problems: List[str]
    warnings: List[str]


class Unreadable(Exception):
    """HTCondor cannot read the configuration at all."""


def check_configuration(kind: Kind, values: Mapping[str, str], place: condor_config.Machine) -> Findings:
    """Would HTCondor, with these values in the kind's file in CONFIG_DIR, understand what they mean?"""
    name, text = kind.config_name, condor_config.render(kind, values, place)
    try:
        names = condor_config.guards(kind, values)
        guards = read_macros(name, text, names, whole=False)
        wanted = condor_config.expected_values(kind, values, place, [guards[one] for one in names])
        exact = read_macros(name, text, sorted(wanted), whole=False)
        whole = read_macros(name, text, sorted(wanted), whole=True)
    except Unreadable as refusal:
        return Findings([str(refusal)], [])
    return Findings(
        ["HTCondor would not read %s as it was meant" % key for key in differences(wanted, exact)],
        ["a file after %s changes %s" % (name, key) for key in differences(wanted, whole)],
    )


def differences(wanted: Mapping[str, str], read: Mapping[str, str]) -> List[str]:
    return [key for key in sorted(wanted) if read[key] != wanted[key]]


def read_macros(name: str, text: str, macros: Sequence[str], whole: bool) -> Dict[str, str]:
    """The macros as HTCondor expands them, in a tree with `text`: all of it, or up to there."""
    tree = tempfile.mkdtemp(prefix="worker-proof.", dir=os.path.dirname(paths.RUN))
    try:
        answer = run_tool(["condor_config_val", *macros], _copy(tree, name, text, whole))
    finally:
        shutil.rmtree(tree)
    lines = answer.out.splitlines()
    if answer.status != 0 or len(lines) != len(macros):
        raise Unreadable("HTCondor refuses the configuration: " + (answer.error or "odd answer"))
    return dict(zip(macros, lines))  # noqa: B905  # strict= is too new


def _copy(tree: str, name: str, text: str, whole: bool) -> Dict[str, str]:
    """A tree like the real one, with `text` in its place; the environment to read it in."""
    folder = os.path.join(tree, "config.d")
    os.mkdir(folder)
    for other in os.listdir(CONFIG_DIR):
        if other < name or (whole and other > name):
            os.symlink(os.path.join(CONFIG_DIR, other), os.path.join(folder, other))
    with open(os.path.join(folder, name), "wb") as file:
        file.write(text.encode("utf-8"))
    with open(ROOT_CONFIG, "rb") as file:
        root = file.read()
    # There may be several folders, and ours is one of them.
    folders = run_tool(["condor_config_val", "LOCAL_CONFIG_DIR"], {})
    if folders.status != 0:
        raise Unreadable("HTCondor's present configuration is broken: " + folders.error)
    own = "\nLOCAL_CONFIG_DIR = %s\n" % folders.out.strip().replace(CONFIG_DIR, folder)
    copied = os.path.join(tree, "condor_config")
    with open(copied, "wb") as file:
        file.write(root + own.encode("utf-8"))
    return {"CONDOR_CONFIG": copied}


def check_expression(text: str) -> Findings:
    """Is it an expression to HTCondor's own parser?"""
    tool = "classad_eval"
    # Asked first with something that cannot be wrong: the tool is a script, and may lack its
    # library, and then its failure would say nothing about the text.
    if not shutil.which(tool) or run_tool([tool, "( true )"], {}).status != 0:
        return Findings([], ["Start could not be parsed before use: no working %s here" % tool])
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
    return Findings(first.problems + second.problems, first.warnings + second.warnings)
