"""A catalogue in an S3 bucket, by botocore, which is an optional dependency.

botocore reads the usual variables and files: AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL,
~/.aws/config. An image is uploaded in parts. S3 keeps the parts of a killed upload, and the next
publication uploads those that are missing. The image appears when all parts are there.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakery.publish.catalogue.storage import Changed
from bakery.publish.image import Image
from provisioner.errors import (
    BadInput,
    BakeryError,
    DiskFull,
    MissingHere,
    Refused,
    Unreachable,
    WrongChecksum,
)
from provisioner.events import Monitor, phase, progress

_MIB = 1 << 20
_PART = 16 * _MIB
_MOST_PARTS = 10_000  # of one upload; docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_TYPES = {".json": "application/json"}
_MISSING = ("404", "NoSuchKey", "NotFound")
_CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_REFUSED = (
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "401",
    "403",
)
_FULL = ("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507")


@dataclass(frozen=True)
class Bucket:
    """`prefix` is "" or ends in a slash; `client` is botocore's. `tags` are the ETags of what was read."""

    client: Any
    name: str
    prefix: str
    monitor: Monitor
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{self.prefix}"

    def locked(self) -> AbstractContextManager[None]:
        """S3 has no locks: `write` fails if another publisher was faster."""
        return nullcontext()

    def read(self, path: str) -> bytes | None:
        try:
            found = self._call("get_object", path)
        except _Missing:
            return None
        self.tags[path] = found["ETag"]
        content: bytes = found["Body"].read()
        return content

    def write(self, path: str, content: bytes) -> None:
        """S3 compares the ETag; a server that does not support that replaces the file in any case."""
        known = {"IfMatch": self.tags[path]} if path in self.tags else {"IfNoneMatch": "*"}
        # A manifest has its digest in its name.
        condition = known if path.startswith("streams/") else {}
        request = {"Body": content, "ContentType": _TYPES[Path(path).suffix], "CacheControl": "no-cache"}
        try:
            self._call("put_object", path, **request, **condition)
        except _Unsupported:
            self._call("put_object", path, **request)
        self.tags.pop(path, None)

    def files(self, folder: str) -> frozenset[str]:
        pages = self.client.get_paginator("list_objects_v2")
        with _errors(self.url):
            found = pages.paginate(Bucket=self.name, Prefix=self.prefix + folder)
            keys = [one["Key"] for page in found for one in page.get("Contents", ())]
        return frozenset(key.removeprefix(self.prefix) for key in keys)

    def has(self, path: str, image: Image) -> bool:
        """Whether S3 has the file with its size and, as its metadata, its digest: an upload is atomic."""
        try:
            found = self._call("head_object", path)
        except _Missing:
            return False
        return bool(
            found["ContentLength"] == image.size and found["Metadata"].get("sha256") == image.sha256
        )

    def upload(self, path: str, image: Image, monitor: Monitor) -> None:
        with phase(monitor, "upload the image"):
            if image.size <= _PART:
                content = image.path.read_bytes()
                self._call(
                    "put_object", path, Body=content, ContentMD5=_md5(content), Metadata=_metadata(image)
                )
            else:
                self._upload_parts(path, image, monitor)
        if not self.has(path, image):
            self.remove(path)
            raise WrongChecksum(f"{self.url}{path} is not what was uploaded.", "Publish the image again.")

    def _upload_parts(self, path: str, image: Image, monitor: Monitor) -> None:
        upload = (
            self._unfinished(path)
            or self._call("create_multipart_upload", path, Metadata=_metadata(image))["UploadId"]
        )
        there = self._parts(path, upload)
        size = max(_PART, -(-image.size // _MOST_PARTS // _MIB) * _MIB)
        parts = []
        with image.path.open("rb") as data:
            for number, content in enumerate(iter(lambda: data.read(size), b""), 1):
                tag = there.get(number)
                if tag != f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"':
                    request = {"UploadId": upload, "PartNumber": number, "ContentMD5": _md5(content)}
                    tag = self._call("upload_part", path, Body=content, **request)["ETag"]
                parts.append({"PartNumber": number, "ETag": tag})
                progress(monitor, image.path.name, data.tell(), image.size)
        self._call("complete_multipart_upload", path, UploadId=upload, MultipartUpload={"Parts": parts})

    def _unfinished(self, path: str) -> str:
        """The id of a killed upload to a path, "" if there is none."""
        return next((id for key, id in self._uploads(path) if key == path), "")

    def _uploads(self, folder: str) -> Iterator[tuple[str, str]]:
        pages = self.client.get_paginator("list_multipart_uploads")
        with _errors(self.url):
            for page in pages.paginate(Bucket=self.name, Prefix=self.prefix + folder):
                for one in page.get("Uploads", ()):
                    yield one["Key"].removeprefix(self.prefix), one["UploadId"]

    def _parts(self, path: str, upload: str) -> dict[int, str]:
        """The ETags of the parts that S3 has: the MD5 of each, unless the bucket is encrypted."""
        pages = self.client.get_paginator("list_parts")
        with _errors(self.url):
            found = pages.paginate(Bucket=self.name, Key=self.prefix + path, UploadId=upload)
            return {one["PartNumber"]: one["ETag"] for page in found for one in page.get("Parts", ())}

    def discard_unfinished(self, folder: str, path: str) -> None:
        for key, upload in list(self._uploads(folder)):
            if key != path:
                self._call("abort_multipart_upload", key, UploadId=upload)

    def remove(self, path: str) -> None:
        self._call("delete_object", path)

    def _call(self, operation: str, path: str, **request: Any) -> Mapping[str, Any]:
        with _errors(self.url):
            answer: Mapping[str, Any] = getattr(self.client, operation)(
                Bucket=self.name, Key=self.prefix + path, **request
            )
            return answer


def connected(name: str, prefix: str, endpoint: str, monitor: Monitor) -> Bucket:
    """Return the storage of a bucket; `endpoint` is a URL, "" for that of the environment or of AWS.

    Raises BadInput, MissingHere.
    """
    try:
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise MissingHere(
            "Publishing to S3 requires botocore.", "Install it: pip install 'worker-bakery[s3]'."
        ) from None
    own = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # Not every server has wildcard names, or supports the checksums that botocore adds; we send MD5.
    addressing = {"addressing_style": "path"} if own else {}
    config = Config(s3=addressing, request_checksum_calculation="when_required", connect_timeout=10)
    try:
        session = botocore.session.get_session()
        region = session.get_config_variable("region") or "us-east-1"
        client = session.create_client(
            "s3", endpoint_url=endpoint or None, region_name=region, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise BadInput(
            f"The configuration of S3 is not usable: {error}.", "See ~/.aws/config and AWS_PROFILE."
        ) from None
    return Bucket(client, name, prefix, monitor)


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _metadata(image: Image) -> dict[str, str]:
    return {"sha256": image.sha256, "worker-bakery-id": image.id}


# --- errors ------------------------------------------------------------------------------------


class _Missing(Exception):
    """There is no such file."""


class _Unsupported(Exception):
    """The server does not implement what was asked for."""


@contextmanager
def _errors(url: str) -> Iterator[None]:
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise _of_answer(url, error.response) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        hint = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        raise BadInput(f"There are no credentials for {url}.", hint) from None
    except exceptions.SSLError as error:
        hint = "Set AWS_CA_BUNDLE to the certificate of its authority."
        raise Unreachable(
            f"The certificate of the server of {url} is not trusted: {error}.", hint
        ) from None
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        hint = "Check --endpoint-url or AWS_ENDPOINT_URL, and the network."
        raise Unreachable(f"The server of {url} does not answer: {str(error).rstrip('.')}.", hint) from None


def _of_answer(url: str, answer: Mapping[str, Any]) -> Exception:
    """The error for an answer of S3, by its code."""
    found = answer.get("Error", {})
    code, why = str(found.get("Code", "")), str(found.get("Message", "")).rstrip(".")
    if code in _MISSING:
        return _Missing(code)
    if code in _CHANGED:
        return Changed(code)
    if code == "NotImplemented":
        return _Unsupported(code)
    if code == "NoSuchBucket":
        return BadInput(f"There is no bucket for {url}.", "Create it, or check its name.")
    if code in _REFUSED:
        return Refused(
            f"The server of {url} refuses the request ({code}): {why}.", "Check the credentials."
        )
    if code in _FULL:
        return DiskFull(
            f"The server of {url} has no space ({code}): {why}.", "Use --keep, or a larger quota."
        )
    return BakeryError(f"The server of {url} failed ({code}): {why}.")
