"""Names the system and the processor as the OSPool's pilots do. Pure.

Pilots read /etc/issue and similar files; os-release(5) has the same information in a defined format. Only
the major version is advertised.
"""

import re
from typing import Dict, Optional

_RELEASE = re.compile(r"^([A-Z_]+)=(.*)$", re.MULTILINE)
_NAMES = {"debian": "DEBIAN", "ubuntu": "UBUNTU", "fedora": "FEDORA", "sles": "SUSE", "suse": "SUSE"}
# Instruction sets that HTCondor's own attributes omit; jobs require HAS_avx512f and others.
_FLAGS = re.compile(r"avx512|cx16|f16c")


def os_release(text: str) -> Dict[str, str]:
    """The assignments of os-release(5), without quotes."""
    return {name: value.strip().strip("\"'") for name, value in _RELEASE.findall(text)}


def system_name(release: Dict[str, str]) -> Optional[str]:
    """For OSGVO_OS_STRING: RHEL 9, DEBIAN 13; None if the pilots have no name for it."""
    version = release.get("VERSION_ID", "").split(".")[0]
    like = release.get("ID_LIKE", "").split()
    own = release.get("ID", "")
    # Rocky and Alma are "rhel centos fedora"; Fedora itself has no ID_LIKE.
    name = "RHEL" if own == "rhel" or "rhel" in like else _NAMES.get(own) or _NAMES.get((like or [""])[0])
    return "%s %s" % (name, version) if name and version else None


def kernel_number(release: str) -> Optional[int]:
    """From the output of uname -r: 60142 for 6.1.42-cloud-amd64."""
    match = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", release)
    return 10000 * int(match.group(1)) + 100 * int(match.group(2)) + int(match.group(3)) if match else None


def cpu_flags(cpuinfo: str) -> Dict[str, str]:
    """HAS_avx512f and others as ClassAd text, from /proc/cpuinfo; the first processor stands for all."""
    match = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    words = match.group(1).split() if match else []
    return {"HAS_" + word: "True" for word in words if _FLAGS.search(word) and word.isidentifier()}
