"""What was tried, in the words of the OSPool's pilots: results of offers.py -> ClassAd text. Pure."""

import json
import re
from typing import Any, Dict, Mapping

from worker_runtime.ospool.cached_checks import Result
from worker_runtime.system.classad import quote

# Of what is there, the version where pilots tell it.
VERSIONS = {"HAS_R": "R_VERSION", "HAS_PYTHON": "PYTHON_VERSION", "HAS_PYTHON3": "PYTHON3_VERSION"}
IO_ERROR_SECONDS = 4 * 3600  # a repository that had errors is not said to be there for so long
MAX_WARNING, MAX_WARNINGS = 120, 1000  # letters
# The plugin that fetches from the OSDF answers for itself: HTCondor asks each which methods it knows.
_OSDF = 'stringListIMember("osdf", MY.HasFileTransferPluginMethods) =?= True'
PELICAN_ATTRIBUTES = {"OSDF_VERIFIED": _OSDF, "STASHCP_VERIFIED": _OSDF}


def attributes(results: Mapping[str, Result], pool: Mapping[str, Any], status: str) -> Dict[str, str]:
    """As ClassAd text. `status` is that of the health probe, "" if it has not looked yet."""
    fine = {name: result.ok for name, result in results.items()}
    ports = {"PORT_%d" % port: fine["port %d" % port] for port in pool["ports"]}
    run = fine.get("containers", False)
    said = {
        **ports,
        "OUTBOUND_FIREWALL": not all(ports.values()),
        "HAS_SINGULARITY": run,
        "SINGULARITY_CAN_USE_SIF": run and fine.get("SIF images", False),
        "SINGULARITY_CAN_USE_REGISTRY": run and fine.get("images of a registry", False),
        "Has_MPI": fine["MPI"],
        "HasExcessiveLoad": any(one.startswith("load: ") for one in status.split("; ")),
        **{name: one for name, one in fine.items() if is_program(name)},
    }
    texts = {name: str(value) for name, value in said.items()}
    more = (
        versions(results),
        cvmfs_attributes(results, pool),
        validation_attributes(results, status),
        PELICAN_ATTRIBUTES,
    )
    return {**texts, **{name: text for some in more for name, text in some.items()}}


def is_program(name: str) -> bool:
    """Such a test is called as the attribute that it decides."""
    return name.startswith("HAS_")


def versions(results: Mapping[str, Result]) -> Dict[str, str]:
    found = {}
    for name, attribute in VERSIONS.items():
        if results[name].ok:
            found[attribute] = quote(re.sub(r"^Python ", "", results[name].said))
    return found


def cvmfs_attributes(results: Mapping[str, Result], pool: Mapping[str, Any]) -> Dict[str, str]:
    """Those that pilots tell of, and others that are set up here."""
    named = {name[len("CVMFS ") :]: result for name, result in results.items() if name.startswith("CVMFS ")}
    found = {"HAS_CVMFS_" + attribute_suffix(name): "False" for name in pool["cvmfs"]}
    for name, result in named.items():
        found.update(repository_attributes(attribute_suffix(name), result))
    return found


def repository_attributes(name: str, result: Result) -> Dict[str, str]:
    if not result.ok:
        return {"HAS_CVMFS_" + name: "False"}
    revision, errors, last = json.loads(result.said)
    since = result.at - last if last else -1
    return {
        "HAS_CVMFS_" + name: str(not 0 <= since < IO_ERROR_SECONDS),
        "CVMFS_%s_REVISION" % name: str(revision or 0),
        "CVMFS_%s_NIOERR" % name: str(-1 if errors is None else errors),
        "CVMFS_%s_LAST_IOERR" % name: str(since),
    }


def attribute_suffix(repository: str) -> str:
    return re.sub(r"[.-]", "_", repository)


def validation_attributes(results: Mapping[str, Result], status: str) -> Dict[str, str]:
    """Fit for work? Our own health decides, and at once; the rest is worth knowing."""
    wrong = [] if status == "OK" else [status or "not looked at yet"]
    open_ones = sorted(name for name, result in results.items() if is_warning(name, result))
    texts = ["%s: %s" % (name, results[name].said[:MAX_WARNING]) for name in open_ones]
    wrong += [text for text in texts if text not in status]
    found = {"OSG_NODE_VALIDATED": "MY.NODE_IS_HEALTHY =?= True"}
    if wrong:
        found["OSG_NODE_WARNINGS"] = quote("; ".join(wrong)[:MAX_WARNINGS].replace("\\", "/"))
    return found


def is_warning(name: str, result: Result) -> bool:
    """A repository that is not there, or a compiler, is no fault of the machine's."""
    return not result.ok and not name.startswith("CVMFS ") and not is_program(name) and name != "MPI"
