"""The NoCloud seed: a small ISO image that tells cloud-init who the machine is and what to do.

There is no network-config in it: only a seed that comes over the network needs one.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from bakery.runtime.files import write_private

LABEL = "cidata"
_MADE = 315532800.0  # 1980-01-01, for every seed: equal input, equal bytes
_ROOT_ONLY = 0o100400


def write_seed(
    path: Path,
    *,
    user_data: str | bytes,
    instance_id: str,
    hostname: str,
    public_keys: Sequence[str] = (),
) -> None:
    """Write the ISO, 0600; a machine runs the user-data again when the instance id changes."""
    files = seed_files(
        user_data=user_data, instance_id=instance_id, hostname=hostname, public_keys=public_keys
    )
    write_private(path, iso(files))


def seed_files(
    *, user_data: str | bytes, instance_id: str, hostname: str, public_keys: Sequence[str] = ()
) -> dict[str, bytes]:
    """The files of a seed, as they also stand in a seed folder of a machine without a CD drive."""
    about = {
        "instance-id": instance_id,
        "local-hostname": hostname,
        "public-keys": list(public_keys),
    }
    # JSON is YAML, and quotes by itself.
    meta_data = json.dumps(about, indent=2) + "\n"
    data = user_data.encode() if isinstance(user_data, str) else user_data
    return {"meta-data": meta_data.encode(), "user-data": data}


def named_after(user_data: bytes) -> tuple[str, str]:
    """An instance id and a host name that change when the user-data does, and only then."""
    digest = hashlib.sha256(user_data).hexdigest()
    return f"iid-{digest[:16]}", f"worker-{digest[:8]}"


def iso(files: dict[str, bytes]) -> bytes:
    """An ISO 9660 image with Joliet and Rock Ridge, which carry the names with a hyphen."""
    import pycdlib

    out = io.BytesIO()
    with _stopped_clock():
        image = pycdlib.PyCdlib()
        image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
        for name, data in sorted(files.items()):
            image.add_fp(
                io.BytesIO(data),
                len(data),
                iso_path=f"/{name.replace('-', '_').upper()}.;1",
                rr_name=name,
                joliet_path=f"/{name}",
                file_mode=_ROOT_ONLY,
            )
        image.write_fp(out)
        image.close()
    return out.getvalue()


@contextmanager
def _stopped_clock() -> Iterator[None]:
    """pycdlib asks the clock and the time zone for every date and takes no other answer."""
    from pycdlib import dates, headervd, pycdlib, utils

    stopped = SimpleNamespace(**vars(time))
    stopped.time = lambda: _MADE
    stopped.localtime = time.gmtime
    modules = (dates, headervd, pycdlib, utils)
    try:
        for module in modules:
            vars(module)["time"] = stopped
        yield
    finally:
        for module in modules:
            vars(module)["time"] = time
