"""Pelican's plugin, by which HTCondor transfers osdf:// URLs: of a package, or of a file that one gives.

HTCondor's own repositories have Pelican's packages, and its packages there depend on them or, before 25,
recommend them (HTCondor's condor.spec and debian/control.in). Debian's own HTCondor knows nothing of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from provisioner.actions import Action, Put, Run
from provisioner.roles import Context, Pelican
from provisioner.steps import Directory, File, Packages, Step

# By its name the program knows that it is to be HTCondor's plugin. (Pelican's cmd/main.go)
PLUGIN = "/usr/libexec/worker-bakery/pelican/stash_plugin"
# Where Pelican's package has the same.
SETTINGS = "/etc/condor/config.d/10-stash-plugin.conf"
_ADD = b"FILETRANSFER_PLUGINS = $(FILETRANSFER_PLUGINS),$(STASH_PLUGIN)\n"
_FILE = "/var/tmp/pelican"
_INSTALL = f"""\
echo "$2  {_FILE}" | sha256sum --check --quiet
folder=$(mktemp -d)
case $1 in
    program) cp {_FILE} "$folder/pelican" ;;
    archive) tar -xzf {_FILE} -C "$folder" ;;
    package) dpkg-deb -x {_FILE} "$folder" ;;
esac
program=$(find "$folder" -type f -name pelican -perm -u+x | head -n 1)
if [ -z "$program" ]; then echo "there is no program pelican in what was given"; exit 1; fi
install -D -m 0755 "$program" {PLUGIN}
rm -rf "$folder" {_FILE}
"""

# An access point's (mode and owner as HTCondor's packages have it); on a worker it is empty.
CREDENTIALS: tuple[Step, ...] = (Directory("/var/lib/condor/oauth_credentials", 0o2770, "root:condor"),)


@dataclass(frozen=True)
class InstallPelican:
    """A step: what was given, known by its digest, becomes the plugin."""

    client: Pelican

    title = "install Pelican's plugin as it was given"

    def actions(self) -> tuple[Action, ...]:
        form, data = self.client
        install = ("sh", "-ec", _INSTALL, "sh", form, hashlib.sha256(data).hexdigest())
        return Put(_FILE, data, 0o755 if form == "program" else 0o600), Run(install)


def pelican(context: Context) -> tuple[Step, ...]:
    if context.pelican is not None:
        return InstallPelican(context.pelican), File(SETTINGS, _ADD)
    if context.is_el:
        return (Packages(context.manager, frozenset({"pelican-osdf-compat"})),)
    return ()
