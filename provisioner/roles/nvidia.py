"""Install NVIDIA's driver with open kernel modules, built for the image's kernel. Not tested on hardware.

HTCondor detects the GPUs by itself. On EL8 and EL9 the driver is from NVIDIA's repository; on Debian it is
in non-free, to be added with --apt-source. Other bases are not supported: no repository with a pinned key
is known for them.
"""

from __future__ import annotations

from provisioner.errors import BadInput
from provisioner.packages import repositories
from provisioner.roles import Context
from provisioner.steps import Command, PackageLists, Packages, Step

_DEBIAN = frozenset({"libcuda1", "linux-headers-cloud-amd64", "nvidia-open-kernel-dkms", "nvidia-smi"})
_DRIVER = ("dnf", "-y", "--setopt=install_weak_deps=False", "module", "install", "nvidia-driver:open-dkms")
# By default, dkms builds for the running kernel, which in a chroot is that of the build machine.
_BUILD = """\
for modules in /lib/modules/*; do
    test -e "$modules/build" || continue
    dkms autoinstall -k "${modules##*/}"
done
"""


def nvidia(context: Context) -> tuple[Step, ...]:
    """The steps. Raises BadInput: there is no driver for this base."""
    build = Command("build the driver for the image's kernels", ("sh", "-ec", _BUILD))
    if context.family == "debian":
        return PackageLists("apt"), Packages("apt", _DEBIAN), build
    added = repositories.add(context.repositories, "nvidia", context.manager)
    if not added:
        raise BadInput(
            f"The role nvidia does not support {context.family}.", "Supported: el8, el9 and debian."
        )
    return (
        *added,
        Packages(context.manager, frozenset({"kernel-devel", "dkms"})),
        Command("install NVIDIA's driver", _DRIVER),
        build,
    )
