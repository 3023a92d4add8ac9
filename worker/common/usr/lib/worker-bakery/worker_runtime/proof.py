"""Ask HTCondor itself how it reads what we wrote, before that takes the place of the old.

The configuration is read in a copy of its tree, twice: up to the new file, where everything
must come back exactly as it was meant; and as a whole, where a later file of the site may say
otherwise, which is then said aloud.
"""

import os
import shutil
import tempfile
from typing import Dict, List, Mapping, NamedTuple, Sequence

from worker_runtime import condor, places
from worker_runtime.kind import Kind
from worker_runtime.program import Ended, ended

ROOT_CONFIG, CONFIG_DIR = places.ROOT_CONFIG, places.CONFIG_DIR
SECONDS = 180  # HTCondor looks for the machine's own name first, which may take minutes


class Verdict(NamedTuple):
    problems: List[str]
    warnings: List[str]


class Refused(Exception):
    """HTCondor cannot read the configuration at all."""


def of_configuration(kind: Kind, values: Mapping[str, str], place: condor.Place) -> Verdict:
    """Would HTCondor, with these values in the kind's file in CONFIG_DIR, understand what they mean?"""
    name, text = kind.config_name, condor.render(kind, values, place)
    try:
        names = condor.guards(kind, values)
        guards = macros_read(name, text, names, whole=False)
        wanted = condor.meant(kind, values, place, [guards[one] for one in names])
        exact = macros_read(name, text, sorted(wanted), whole=False)
        whole = macros_read(name, text, sorted(wanted), whole=True)
    except Refused as refusal:
        return Verdict([str(refusal)], [])
    return Verdict(
        ["HTCondor would not read %s as it was meant" % key for key in differing(wanted, exact)],
        ["a file after %s changes %s" % (name, key) for key in differing(wanted, whole)],
    )


def differing(wanted: Mapping[str, str], read: Mapping[str, str]) -> List[str]:
    return [key for key in sorted(wanted) if read[key] != wanted[key]]


def macros_read(name: str, text: str, macros: Sequence[str], whole: bool) -> Dict[str, str]:
    """The macros as HTCondor expands them, in a tree with `text`: all of it, or up to there."""
    tree = tempfile.mkdtemp(prefix="worker-proof.", dir=os.path.dirname(places.RUN))
    try:
        answer = ask(["condor_config_val", *macros], _copy(tree, name, text, whole))
    finally:
        shutil.rmtree(tree)
    lines = answer.out.splitlines()
    if answer.status != 0 or len(lines) != len(macros):
        raise Refused("HTCondor refuses the configuration: " + (answer.complaint or "odd answer"))
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
    folders = ask(["condor_config_val", "LOCAL_CONFIG_DIR"], {})
    if folders.status != 0:
        raise Refused("HTCondor's present configuration is broken: " + folders.complaint)
    own = "\nLOCAL_CONFIG_DIR = %s\n" % folders.out.strip().replace(CONFIG_DIR, folder)
    copied = os.path.join(tree, "condor_config")
    with open(copied, "wb") as file:
        file.write(root + own.encode("utf-8"))
    return {"CONDOR_CONFIG": copied}


def of_expression(text: str) -> Verdict:
    """Is it an expression to HTCondor's own parser?"""
    tool = "classad_eval"
    # Asked first with something that cannot be wrong: the tool is a script, and may lack its
    # library, and then its failure would say nothing about the text.
    if not shutil.which(tool) or ask([tool, "( true )"], {}).status != 0:
        return Verdict([], ["Start could not be parsed before use: no working %s here" % tool])
    answer = ask([tool, "( %s )" % text], {})
    if answer.status != 0:
        return Verdict(["Start is not a ClassAd expression"], [])
    if answer.out.split()[-1:] == ["error"]:
        return Verdict([], ["Start evaluates to an error (a function that does not exist?)"])
    return Verdict([], [])


def ask(argv: Sequence[str], env: Mapping[str, str]) -> Ended:
    """Run one of HTCondor's tools."""
    return ended(argv, SECONDS, env=env)


def both(first: Verdict, second: Verdict) -> Verdict:
    return Verdict(first.problems + second.problems, first.warnings + second.warnings)
