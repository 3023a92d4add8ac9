"""NVIDIA's driver, with open kernel modules, built for the kernel that the image boots. Not tried yet.

HTCondor finds the GPUs by itself. EL8 and EL9 take it from NVIDIA; Debian has it in non-free, which
--apt-source lends. Elsewhere no repository is known whose key is pinned, and the role is refused.
"""

from __future__ import annotations

from provisioner.errors import BadInput
from provisioner.packages import repositories
from provisioner.roles import Context
from provisioner.steps import Command, PackageLists, Packages, Step

_DEBIAN = frozenset({"libcuda1", "linux-headers-cloud-amd64", "nvidia-open-kernel-dkms", "nvidia-smi"})
_DRIVER = ("dnf", "-y", "--setopt=install_weak_deps=False", "module", "install", "nvidia-driver:open-dkms")
# dkms would build for the kernel that runs, which in a chroot is the builder's.
_BUILD = """\
for modules in /lib/modules/*; do
    test -e "$modules/build" || continue
    dkms autoinstall -k "${modules##*/}"
done
"""


def nvidia(context: Context) -> tuple[Step, ...]:
    """Raises BadInput for a base that it has no driver for."""
    build = Command("build the driver for the image's kernels", ("sh", "-ec", _BUILD))
    if context.family == "debian":
        return PackageLists("apt"), Packages("apt", _DEBIAN), build
    added = repositories.add(context.repositories, "nvidia", context.manager)
    if not added:
        raise BadInput(
            f"The role nvidia has no driver for {context.family}.", "It has one for el8, el9 and debian."
        )
    return (
        *added,
        Packages(context.manager, frozenset({"kernel-devel", "dkms"})),
        Command("install NVIDIA's driver", _DRIVER),
        build,
    )
