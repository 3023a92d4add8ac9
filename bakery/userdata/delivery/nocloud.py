"""Write the NoCloud seed of a machine: its meta-data and user-data, as an ISO image or as files.

The seed has no network-config: only a seed that is fetched over the network needs one.
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
_TIMESTAMP = 315532800.0  # 1980-01-01 in every seed: equal input gives equal bytes
_ROOT_ONLY = 0o100400


def write_seed(
    path: Path,
    *,
    user_data: str | bytes,
    instance_id: str,
    hostname: str,
    public_keys: Sequence[str] = (),
) -> None:
    """Write the ISO with mode 0600. A machine runs the user-data again when the instance id changes."""
    files = seed_files(
        user_data=user_data, instance_id=instance_id, hostname=hostname, public_keys=public_keys
    )
    write_private(path, iso(files))


def seed_files(
    *, user_data: str | bytes, instance_id: str, hostname: str, public_keys: Sequence[str] = ()
) -> dict[str, bytes]:
    """Return the files of a seed by name, as in the ISO and in a seed folder on a disk."""
    about = {
        "instance-id": instance_id,
        "local-hostname": hostname,
        "public-keys": list(public_keys),
    }
    # JSON is valid YAML, and quotes every string.
    meta_data = json.dumps(about, indent=2) + "\n"
    data = user_data.encode() if isinstance(user_data, str) else user_data
    return {"meta-data": meta_data.encode(), "user-data": data}


def derive_names(user_data: bytes) -> tuple[str, str]:
    """Return an instance id and a host name that change if and only if the user-data does."""
    digest = hashlib.sha256(user_data).hexdigest()
    return f"iid-{digest[:16]}", f"worker-{digest[:8]}"


def iso(files: dict[str, bytes]) -> bytes:
    """Return an ISO 9660 image; Joliet and Rock Ridge carry the names with a hyphen."""
    import pycdlib

    out = io.BytesIO()
    with _fixed_clock():
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
def _fixed_clock() -> Iterator[None]:
    """Replace `time` in pycdlib, which has no parameter for the dates that it writes."""
    from pycdlib import dates, headervd, pycdlib, utils

    fixed = SimpleNamespace(**vars(time))
    fixed.time = lambda: _TIMESTAMP
    fixed.localtime = time.gmtime
    modules = (dates, headervd, pycdlib, utils)
    try:
        for module in modules:
            vars(module)["time"] = fixed
        yield
    finally:
        for module in modules:
            vars(module)["time"] = time
