"""The target of --to: where an image is published."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from provisioner import did_you_mean
from provisioner.errors import BadInput

SCHEMES = ("openstack:CLOUD", "file:///DIR", "s3://BUCKET/PREFIX", "oci://REGISTRY/NAME[:TAG]")
_HINT = f"Write {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}."


@dataclass(frozen=True)
class Folder:
    """A catalogue in a folder of this machine."""

    path: Path


@dataclass(frozen=True)
class Bucket:
    """A catalogue in an S3 bucket, below `prefix`, which is "" or ends in a slash."""

    name: str
    prefix: str


@dataclass(frozen=True)
class Cloud:
    """A cloud of clouds.yaml."""

    name: str


@dataclass(frozen=True)
class Repository:
    """A repository of an OCI registry; `tag` is "" if none was given."""

    registry: str
    name: str
    tag: str


Target = Folder | Bucket | Cloud | Repository


def parse(text: str) -> Target:
    """Raises BadInput."""
    scheme, separator, rest = text.partition(":")
    match scheme if separator else "":
        case "openstack":
            return Cloud(_required(rest, "openstack:CLOUD names a cloud of clouds.yaml."))
        case "file":
            return _folder(text)
        case "s3":
            return _bucket(text)
        case "oci":
            return _repository(text)
    asked = did_you_mean.did_you_mean(scheme, ("openstack", "file", "s3", "oci")) if separator else ""
    raise BadInput("--to: the target has no supported scheme.", f"{asked} {_HINT}".strip())


def _required(text: str, hint: str) -> str:
    if not re.fullmatch(r"[^\s/]+", text):
        raise BadInput("--to: the name of the cloud is missing.", hint)
    return text


def _folder(text: str) -> Folder:
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise BadInput(f"--to {text}: a folder needs an absolute path.", "Write file:///DIR.")
    return Folder(Path(unquote(parts.path)))


def _bucket(text: str) -> Bucket:
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise BadInput(
            "--to: credentials must not be in the URL.", "Use AWS_PROFILE, or the other AWS_ variables."
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc):
        raise BadInput(f"--to {text}: this is not the name of a bucket.", "Write s3://BUCKET/PREFIX.")
    prefix = unquote(parts.path).strip("/")
    return Bucket(parts.netloc, f"{prefix}/" if prefix else "")


def _repository(text: str) -> Repository:
    rest = text.partition("://")[2]
    registry, _, path = rest.partition("/")
    name, _, tag = path.partition(":")
    if "@" in registry:
        raise BadInput("--to: credentials must not be in the URL.", "Log in: skopeo login REGISTRY.")
    # As in the grammar of distribution/reference.
    component = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    fits = re.fullmatch(rf"{component}(?:/{component})*", name)
    if not registry or not fits or not re.fullmatch(r"|\w[\w.-]{0,127}", tag):
        hint = "Write oci://REGISTRY/NAME[:TAG], the name in lower case."
        raise BadInput(f"--to {text}: this is not a repository of a registry.", hint)
    return Repository(registry, name, tag)
