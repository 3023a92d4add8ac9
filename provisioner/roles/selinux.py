"""Configure the SELinux policy for the worker on EL, where SELinux stays enforcing; also in a chroot.

HTCondor's packages load their policy module only if SELinux is running. In a chroot it is not, so these
steps load it. Source: %post in HTCondor's condor.spec. Not tested with a kernel that has SELinux.
"""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import Command, File, Step

_WORKER = "/usr/lib/worker-bakery/worker"
# systemd runs programs of type bin_t in their own domain. Files in /usr/lib have type lib_t, which it may
# not execute.
_POLICY = f"""\
later=--noreload
if selinuxenabled; then later=; fi
semodule $later -i /usr/share/condor/htcondor.pp
semanage boolean $later -m --on daemons_enable_cluster_mode
{{network}}semanage fcontext $later -a -t bin_t {_WORKER} ||
    semanage fcontext $later -m -t bin_t {_WORKER}
if selinuxenabled; then restorecon -R /usr/lib/worker-bakery /etc/condor; fi
"""
_NETWORK = "semanage boolean $later -m --on condor_domain_can_network_connect\n"  # not in the policy of EL9
# A kernel without SELinux does not label new files, and the first boot fails without labels.
_LABEL = """\
. /etc/selinux/config
contexts=/etc/selinux/$SELINUXTYPE/contexts/files/file_contexts
setfiles -F -e /dev -e /proc -e /run -e /sys -e /tmp "$contexts" /
"""
# image.json is written after the files are labeled, because it is the last step.
_STAMP_LABEL = (
    b"# It has no SELinux label when the image is finished.\nz /usr/lib/worker-bakery/image.json - - - -\n"
)


# Save and undo these changes on a remote machine. Booleans that the site has set keep its values.
KEEP = """\
    semanage export >"$folder/selinux" 2>/dev/null || true
    semodule -l >"$folder/policy" 2>/dev/null || true
"""
UNDO = f"""\
    later=--noreload
    if selinuxenabled 2>/dev/null; then later=; fi
    if command -v semanage >/dev/null; then
        semanage fcontext $later -d {_WORKER} || true
        for boolean in daemons_enable_cluster_mode condor_domain_can_network_connect; do
            value=$(sed -n "s/^boolean -m -\\([01]\\) $boolean$/\\1/p" "$folder/selinux")
            if [ -n "$value" ]; then semanage boolean $later -m "-$value" $boolean
            else semanage boolean $later -d $boolean || true; fi
        done
    fi
    if command -v semodule >/dev/null && ! grep -q '^htcondor' "$folder/policy"; then
        semodule $later -r htcondor || true
    fi
"""


def policy(context: Context) -> tuple[Step, ...]:
    """The steps that configure the policy; none for containers, which use that of their host."""
    if not (context.is_el and context.boots):
        return ()
    script = _POLICY.format(network=_NETWORK if context.family in ("el7", "el8") else "")
    return (
        File("/usr/lib/tmpfiles.d/worker-image-label.conf", _STAMP_LABEL),
        Command("configure SELinux for the worker", ("sh", "-ec", script)),
    )


def labels(context: Context) -> tuple[Step, ...]:
    """The step that labels all files; none for containers."""
    if not (context.is_el and context.boots):
        return ()
    return (Command("label all files for SELinux", ("sh", "-ec", _LABEL)),)
