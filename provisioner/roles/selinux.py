"""SELinux stays enforcing on EL. What the worker needs for that is told to the policy, in a chroot too.

HTCondor's packages bring a module of policy and load it where SELinux runs; in a chroot it does not, so
this does the same. Source: %post of HTCondor's condor.spec. Not seen under a kernel with SELinux.
"""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import Command, File, Step

_WORKER = "/usr/lib/worker-bakery/worker"
# systemd starts what is bin_t in a domain of its own; files under /usr/lib are lib_t, which it may not run.
_POLICY = f"""\
later=--noreload
if selinuxenabled; then later=; fi
semodule $later -i /usr/share/condor/htcondor.pp
semanage boolean $later -m --on daemons_enable_cluster_mode
{{network}}semanage fcontext $later -a -t bin_t {_WORKER} ||
    semanage fcontext $later -m -t bin_t {_WORKER}
if selinuxenabled; then restorecon -R /usr/lib/worker-bakery /etc/condor; fi
"""
_NETWORK = "semanage boolean $later -m --on condor_domain_can_network_connect\n"  # gone in EL9's policy
# Of a kernel that knows nothing of SELinux, files get no labels; a first boot without them fails.
_LABEL = """\
. /etc/selinux/config
contexts=/etc/selinux/$SELINUXTYPE/contexts/files/file_contexts
setfiles -F -e /dev -e /proc -e /run -e /sys -e /tmp "$contexts" /
"""
# Written after all labels, as it names them all.
_STAMP_LABEL = (
    b"# It has no SELinux label when the image is finished.\nz /usr/lib/worker-bakery/image.json - - - -\n"
)


# For giving a machine back, the same undone. Of booleans that the site has set itself, the values stay.
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
    """A container has the labels, and the policy, of the machine that runs it."""
    if not (context.is_el and context.boots):
        return ()
    script = _POLICY.format(network=_NETWORK if context.family in ("el7", "el8") else "")
    return (
        File("/usr/lib/tmpfiles.d/worker-image-label.conf", _STAMP_LABEL),
        Command("tell SELinux of the worker", ("sh", "-ec", script)),
    )


def labels(context: Context) -> tuple[Step, ...]:
    if not (context.is_el and context.boots):
        return ()
    return (Command("label all files for SELinux", ("sh", "-ec", _LABEL)),)
