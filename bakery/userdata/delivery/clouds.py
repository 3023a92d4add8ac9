"""The limits of each cloud on user-data: its size and its encoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bakery.userdata.delivery.encodings import Encoding, base64_length, gzipped
from bakery.userdata.findings import Finding, error

NAMES = ("too-large", "lost-encoding")


@dataclass(frozen=True)
class Cloud:
    """`limit` is in bytes of what the machine receives, or of its base64 if `counts_base64`.

    `interface` is the command or field that takes the user-data.
    """

    title: str
    limit: int
    counts_base64: bool
    plain_gzip: bool  # does the cloud pass binary data on unchanged?
    base64: bool  # does the cloud have a field that it decodes?
    interface: str


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
    """Return the size in bytes that counts for the limit; `payload` is what the machine receives."""
    as_text_only = encoding.base64 and cloud is CLOUDS["gce"]  # the guest decodes metadata
    return base64_length(len(payload)) if cloud.counts_base64 or as_text_only else len(payload)


def findings(name: str, payload: bytes, encoding: Encoding) -> list[Finding]:
    """Return the reasons why the cloud does not accept the user-data."""
    return [*_encoding(CLOUDS[name], encoding), *_size(CLOUDS[name], payload, encoding)]


def _encoding(cloud: Cloud, encoding: Encoding) -> Iterator[Finding]:
    if encoding.base64 and not cloud.base64:
        yield error(
            "lost-encoding",
            f"{cloud.title} does not decode base64, so cloud-init ignores the user-data.",
            "Omit --base64.",
        )
    elif encoding.gzip and not encoding.base64 and not cloud.plain_gzip:
        fix = "Add --base64 and use the field that the cloud decodes." if cloud.base64 else "Omit --gzip."
        yield error("lost-encoding", f"{cloud.title} accepts text only, which gzip data is not.", fix)


def _size(cloud: Cloud, payload: bytes, encoding: Encoding) -> Iterator[Finding]:
    size = counted(cloud, payload, encoding)
    if size > cloud.limit:
        as_base64 = " as base64" if cloud.counts_base64 else ""
        yield error(
            "too-large",
            f"The user-data is {size} bytes{as_base64}, {size - cloud.limit} more than the limit of"
            f" {cloud.title} ({cloud.limit}).",
            _what_fits(cloud, payload, encoding),
        )


def _what_fits(cloud: Cloud, payload: bytes, encoding: Encoding) -> str:
    smaller = Encoding(gzip=True, base64=encoding.base64 or not cloud.plain_gzip)
    size = counted(cloud, gzipped(payload), smaller)
    takes_gzip = cloud.plain_gzip or cloud.base64
    if takes_gzip and not encoding.gzip and size <= cloud.limit:
        options = "--gzip" if smaller == Encoding(gzip=True, base64=False) else "--gzip --base64"
        return f"With {options} it is {size} bytes, which fits."
    most = cloud.limit // 4 * 3 if cloud.counts_base64 else cloud.limit
    zip_too = f" ({size} with gzip)" if takes_gzip and not encoding.gzip else ""
    return f"Reduce it to {most} bytes{zip_too}, or fetch the rest at boot (#include)."
