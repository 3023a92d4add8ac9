"""A stand-in for a registry of containers, on port 5000: the folder $1 as the image made:here.

What a client asks of a registry to pull an image: OCI's distribution specification, "Pull".
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, HTTPServer

OCI = "application/vnd.oci.image."


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def contents(folder: str) -> dict[str, tuple[str, bytes]]:
    """By the path of a request: the type and the bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, arcname=".")
    layer = gzip.compress(packed.getvalue())
    rootfs = {"type": "layers", "diff_ids": [digest(packed.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    parts = {f"{OCI}config.v1+json": config, f"{OCI}layer.v1.tar+gzip": layer}
    rows = [{"mediaType": kind, "digest": digest(data), "size": len(data)} for kind, data in parts.items()]
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}manifest.v1+json",
        "config": rows[0],
        "layers": rows[1:],
    }
    told = json.dumps(manifest).encode()
    blobs = {
        f"/v2/made/blobs/{digest(data)}": ("application/octet-stream", data) for data in parts.values()
    }
    named = {
        f"/v2/made/manifests/{name}": (f"{OCI}manifest.v1+json", told) for name in ("here", digest(told))
    }
    return {"/v2/": ("application/json", b"{}"), **blobs, **named}


class Registry(BaseHTTPRequestHandler):
    has = contents(sys.argv[1])

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(self.has.get(self.path, ("", b""))[1])

    def answer(self, body: bytes) -> None:
        kind, data = self.has.get(self.path, ("", b""))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Content-Digest", digest(data))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("127.0.0.1", 5000), Registry).serve_forever()
