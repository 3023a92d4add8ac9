"""Install Pelican's plugin for osdf:// URLs in HTCondor, from a package or a file supplied by the user.

HTCondor's repositories contain Pelican's packages; HTCondor's packages depend on them or, before 25,
recommend them (condor.spec and debian/control.in of HTCondor). Debian's HTCondor package has no plugin.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from provisioner.actions import Action, Put, Run
from provisioner.roles import Context, Pelican
from provisioner.steps import Directory, File, Packages, Step

# The program acts as HTCondor's plugin if it is called by this name (cmd/main.go of Pelican).
PLUGIN = "/usr/libexec/worker-bakery/pelican/stash_plugin"
# The same path as in Pelican's package.
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

# Used by access points, empty on workers. Mode and owner as in HTCondor's packages.
CREDENTIALS: tuple[Step, ...] = (Directory("/var/lib/condor/oauth_credentials", 0o2770, "root:condor"),)


@dataclass(frozen=True)
class InstallPelican:
    """Install the plugin from the supplied file, after checking its digest."""

    client: Pelican

    title = "install the supplied Pelican plugin"

    def actions(self) -> tuple[Action, ...]:
        form, data = self.client
        install = ("sh", "-ec", _INSTALL, "sh", form, hashlib.sha256(data).hexdigest())
        return Put(_FILE, data, 0o755 if form == "program" else 0o600), Run(install)


def pelican(context: Context) -> tuple[Step, ...]:
    """The steps: from the supplied file if there is one, otherwise the package on EL."""
    if context.pelican is not None:
        return InstallPelican(context.pelican), File(SETTINGS, _ADD)
    if context.is_el:
        return (Packages(context.manager, frozenset({"pelican-osdf-compat"})),)
    return ()
