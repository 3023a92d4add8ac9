from __future__ import annotations

import pytest

from provisioner.errors import BadInput, BakeryError, CommandFailed, Unreachable, WrongChecksum
from provisioner.process import run

# Output of dnf 4.23; constants with YUM are output of yum in EL7, from public bug reports.
NO_SERVER = """\
Errors during downloading metadata for repository 'htcondor':
  - Curl error (7): Could not connect to server for http://127.0.0.1:9/repodata/repomd.xml [no]
Error: Failed to download metadata for repo 'htcondor': Cannot download repomd.xml: All mirrors tried"""
YUM_NO_LIST = """\
 yum-config-manager --save --setopt=<repoid>.skip_if_unavailable=true

Cannot find a valid baseurl for repo: base/7/x86_64"""
YUM_GONE = """\
failure: repodata/repomd.xml from htcondor: [Errno 256] No more mirrors to try.
http://mirror.example.org/repodata/repomd.xml: [Errno 14] HTTP Error 404 - Not Found"""
UNSIGNED = """\
Package condor-23.9.6-1.x86_64.rpm is not signed
Error: GPG check FAILED"""
STRANGER = """\
The GPG keys listed for the "HTCondor 23.0 for Enterprise Linux 7" repository are already installed \
but they are not correct for this package.
Check that the correct key URLs are configured for this repository.. Failing package is: condor-1-1.x86_64
 GPG Keys are configured as: file:///etc/pki/rpm-gpg/RPM-GPG-KEY-worker-htcondor
Error: GPG check FAILED"""
YUM_UNSIGNED = "Public key for condor-23.0.28-1.el7.x86_64.rpm is not installed"


@pytest.mark.parametrize(
    ("tail", "kind", "says"),
    [
        (NO_SERVER, Unreachable, "Cannot read the package repository htcondor: Curl error (7)"),
        (YUM_NO_LIST, Unreachable, "Cannot read the package repository base: "),
        (YUM_GONE, Unreachable, "Cannot read the package repository htcondor: http://mirror"),
        (UNSIGNED, WrongChecksum, "condor-23.9.6-1.x86_64.rpm is not signed"),
        (STRANGER, WrongChecksum, "Failing package is: condor-1-1"),
        (STRANGER, WrongChecksum, "of the repository HTCondor 23.0 for"),
        (YUM_UNSIGNED, WrongChecksum, "Public key for condor-23.0.28"),
        ("Error: Unable to find a match: condor", BadInput, "offers the package condor."),
        ("package condor is not installed", BadInput, "offers the package condor."),
        ("Error: something else", CommandFailed, "something else"),
    ],
)
def test_the_cause_is_recognized(tail: str, kind: type[BakeryError], says: str) -> None:
    error = run.failure(["dnf", "-y", "install", "condor"], 1, tail)
    assert type(error) is kind
    assert says in error.message
    assert kind is CommandFailed or "--repository-url" in error.hint
