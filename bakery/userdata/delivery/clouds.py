"""What each cloud takes as user-data: how much, counted on which form, and in which dress."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bakery.userdata.delivery.encodings import Encoding, base64_length, zipped
from bakery.userdata.findings import Finding, error

NAMES = ("too-large", "lost-encoding")


@dataclass(frozen=True)
class Cloud:
    """`limit` is bytes of what the machine gets, or of its base64 where `counts_base64`."""

    title: str
    limit: int
    counts_base64: bool
    plain_gzip: bool  # does binary data survive the way in?
    base64: bool  # is there a field that is decoded once on the way?
    place: str


CLOUDS = {
    "jetstream2": Cloud(
        "Jetstream2",
        65535,
        True,
        False,
        False,
        "Exosphere's boot script, or Horizon's customization script",
    ),
    "openstack": Cloud("OpenStack", 65535, True, True, True, "`openstack server create --user-data FILE`"),
    "ec2": Cloud(
        "EC2", 16384, False, True, True, "`aws ec2 run-instances --user-data file://FILE` (fileb://)"
    ),
    "azure": Cloud("Azure", 65535, False, False, True, "`az vm create --custom-data FILE`"),
    "gce": Cloud("GCE", 262144, False, False, True, "`--metadata-from-file user-data=FILE`"),
    "vsphere": Cloud("vSphere", 524288, True, False, True, "`guestinfo.userdata`"),
}


def counted(cloud: Cloud, payload: bytes, encoding: Encoding) -> int:
    """How much of the cloud's limit this takes; `payload` as the machine is to get it."""
    as_text_only = encoding.base64 and cloud is CLOUDS["gce"]  # metadata is decoded by the guest
    return base64_length(len(payload)) if cloud.counts_base64 or as_text_only else len(payload)


def findings(name: str, payload: bytes, encoding: Encoding) -> list[Finding]:
    """What is against giving this to the cloud."""
    return [*_dress(CLOUDS[name], encoding), *_size(CLOUDS[name], payload, encoding)]


def _dress(cloud: Cloud, encoding: Encoding) -> Iterator[Finding]:
    if encoding.base64 and not cloud.base64:
        yield error(
            "lost-encoding",
            f"{cloud.title} hands base64 to the machine as it is, which then ignores it.",
            "Leave away --base64.",
        )
    elif encoding.gzip and not encoding.base64 and not cloud.plain_gzip:
        fix = "Add --base64 and use the field that is decoded." if cloud.base64 else "Leave away --gzip."
        yield error("lost-encoding", f"{cloud.title} takes text: gzip does not survive.", fix)


def _size(cloud: Cloud, payload: bytes, encoding: Encoding) -> Iterator[Finding]:
    size = counted(cloud, payload, encoding)
    if size > cloud.limit:
        as_base64 = " as base64" if cloud.counts_base64 else ""
        yield error(
            "too-large",
            f"The user-data has {size} bytes{as_base64}, {size - cloud.limit} more than the {cloud.limit}"
            f" that {cloud.title} takes.",
            _what_fits(cloud, payload, encoding),
        )


def _what_fits(cloud: Cloud, payload: bytes, encoding: Encoding) -> str:
    smaller = Encoding(gzip=True, base64=encoding.base64 or not cloud.plain_gzip)
    size = counted(cloud, zipped(payload), smaller)
    takes_gzip = cloud.plain_gzip or cloud.base64
    if takes_gzip and not encoding.gzip and size <= cloud.limit:
        options = "--gzip" if smaller == Encoding(gzip=True, base64=False) else "--gzip --base64"
        return f"With {options} it has {size}, which fits."
    room = cloud.limit // 4 * 3 if cloud.counts_base64 else cloud.limit
    zip_too = f" (gzip makes it {size})" if takes_gzip and not encoding.gzip else ""
    return f"Leave something out until it has {room} bytes{zip_too}, or fetch the rest at boot (#include)."
