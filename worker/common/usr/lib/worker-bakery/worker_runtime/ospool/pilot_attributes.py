"""Translates the results of the tests into the attributes of the OSPool's pilots. Pure."""

import json
import re
from typing import Any, Dict, Mapping

from worker_runtime.ospool.cached_checks import Result
from worker_runtime.system.classad import quote

# The attributes of versions that pilots advertise.
VERSIONS = {"HAS_R": "R_VERSION", "HAS_PYTHON": "PYTHON_VERSION", "HAS_PYTHON3": "PYTHON3_VERSION"}
IO_ERROR_SECONDS = 4 * 3600  # a repository with errors is not advertised for so long
MAX_WARNING, MAX_WARNINGS = 120, 1000  # characters
# HTCondor asks the file transfer plugin of the OSDF which methods it supports.
_OSDF = 'stringListIMember("osdf", MY.HasFileTransferPluginMethods) =?= True'
PELICAN_ATTRIBUTES = {"OSDF_VERIFIED": _OSDF, "STASHCP_VERIFIED": _OSDF}


def attributes(results: Mapping[str, Result], pool: Mapping[str, Any], status: str) -> Dict[str, str]:
    """Attribute -> ClassAd text. `status` is that of the health report, "" if there is none yet."""
    ok = {name: result.ok for name, result in results.items()}
    ports = {"PORT_%d" % port: ok["port %d" % port] for port in pool["ports"]}
    run = ok.get("containers", False)
    flags = {
        **ports,
        "OUTBOUND_FIREWALL": not all(ports.values()),
        "HAS_SINGULARITY": run,
        "SINGULARITY_CAN_USE_SIF": run and ok.get("SIF images", False),
        "SINGULARITY_CAN_USE_REGISTRY": run and ok.get("images of a registry", False),
        "Has_MPI": ok["MPI"],
        "HasExcessiveLoad": any(one.startswith("load: ") for one in status.split("; ")),
        **{name: one for name, one in ok.items() if is_program(name)},
    }
    texts = {name: str(value) for name, value in flags.items()}
    more = (
        versions(results),
        cvmfs_attributes(results, pool),
        validation_attributes(results, status),
        PELICAN_ATTRIBUTES,
    )
    return {**texts, **{name: text for group in more for name, text in group.items()}}


def is_program(name: str) -> bool:
    """Whether the test is named after the attribute that it decides."""
    return name.startswith("HAS_")


def versions(results: Mapping[str, Result]) -> Dict[str, str]:
    """The versions of the programs that are installed."""
    found = {}
    for name, attribute in VERSIONS.items():
        if results[name].ok:
            found[attribute] = quote(re.sub(r"^Python ", "", results[name].text))
    return found


def cvmfs_attributes(results: Mapping[str, Result], pool: Mapping[str, Any]) -> Dict[str, str]:
    """The attributes of the repositories that pilots advertise, and of others that are configured here."""
    named = {name[len("CVMFS ") :]: result for name, result in results.items() if name.startswith("CVMFS ")}
    found = {"HAS_CVMFS_" + attribute_suffix(name): "False" for name in pool["cvmfs"]}
    for name, result in named.items():
        found.update(repository_attributes(attribute_suffix(name), result))
    return found


def repository_attributes(name: str, result: Result) -> Dict[str, str]:
    """The attributes of one repository; `name` as in attribute_suffix()."""
    if not result.ok:
        return {"HAS_CVMFS_" + name: "False"}
    revision, errors, last = json.loads(result.text)
    since = result.at - last if last else -1
    return {
        "HAS_CVMFS_" + name: str(not 0 <= since < IO_ERROR_SECONDS),
        "CVMFS_%s_REVISION" % name: str(revision or 0),
        "CVMFS_%s_NIOERR" % name: str(-1 if errors is None else errors),
        "CVMFS_%s_LAST_IOERR" % name: str(since),
    }


def attribute_suffix(repository: str) -> str:
    """The name of a repository as part of an attribute."""
    return re.sub(r"[.-]", "_", repository)


def validation_attributes(results: Mapping[str, Result], status: str) -> Dict[str, str]:
    """Whether the machine is fit for work: the health report decides; other problems are warnings."""
    problems = [] if status == "OK" else [status or "not checked yet"]
    warnings = sorted(name for name, result in results.items() if is_warning(name, result))
    texts = ["%s: %s" % (name, results[name].text[:MAX_WARNING]) for name in warnings]
    problems += [text for text in texts if text not in status]
    found = {"OSG_NODE_VALIDATED": "MY.NODE_IS_HEALTHY =?= True"}
    if problems:
        found["OSG_NODE_WARNINGS"] = quote("; ".join(problems)[:MAX_WARNINGS].replace("\\", "/"))
    return found


def is_warning(name: str, result: Result) -> bool:
    """Whether a failed test is a problem of the machine; a missing repository or compiler is not."""
    return not result.ok and not name.startswith("CVMFS ") and not is_program(name) and name != "MPI"
