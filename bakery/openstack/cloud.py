"""A connection to a cloud of clouds.yaml by openstacksdk, and its errors in our words.

openstacksdk is an optional dependency. It reads clouds.yaml and secure.yaml itself, in the current folder,
~/.config/openstack and /etc/openstack, or where OS_CLIENT_CONFIG_FILE says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner import did_you_mean
from provisioner.errors import BadInput, BakeryError, DiskFull, MissingHere, Refused, Unreachable
from provisioner.process.scrub import hide

if TYPE_CHECKING:
    from openstack.connection import Connection

_SECRETS = ("password", "token", "secret", "passcode")
_FULL = (413, 507)


@dataclass(frozen=True)
class Described:
    """What clouds.yaml says of a cloud; the region may be ""."""

    auth_url: str
    region: str


def described(cloud: str) -> Described:
    """Return what clouds.yaml says of a cloud, which is not connected to. Raises MissingHere, BadInput."""
    _require_sdk()
    with _configuration_errors(cloud):
        from openstack.config import OpenStackConfig

        found = OpenStackConfig().get_one(cloud=_known(cloud)).config
    return Described(str(found.get("auth", {}).get("auth_url", "")), str(found.get("region_name") or ""))


def _require_sdk() -> None:
    try:
        import openstack  # noqa: F401 - whether it is there
    except ImportError:
        raise MissingHere(
            "OpenStack clouds require openstacksdk.",
            "Install it: pip install 'worker-bakery[openstack]'.",
        ) from None


@contextmanager
def connected(cloud: str) -> Iterator[Connection]:
    """Yield a connection; the errors of the block become ours.

    Raises MissingHere, BadInput, Refused, Unreachable, DiskFull.
    """
    _require_sdk()
    import openstack
    from keystoneauth1 import exceptions as auth
    from openstack import exceptions

    _log_no_bodies()
    with _configuration_errors(cloud):
        connection = openstack.connect(cloud=_known(cloud))
        _hide_secrets(connection.config.config.get("auth", {}))
    try:
        hide(str(connection.auth_token))
        yield connection
    except (auth.ConnectionError, auth.DiscoveryFailure, auth.EndpointNotFound) as error:
        raise unreachable(cloud, error) from None
    except exceptions.HttpException as error:
        raise _refused(cloud, error) from None
    except (auth.ClientException, exceptions.SDKException) as error:
        if is_unauthorised(error):
            raise _unauthorised(cloud) from None
        raise BakeryError(f"The cloud {cloud} failed: {error}.") from None
    finally:
        connection.close()


def is_unauthorised(error: Exception) -> bool:
    """Whether the cloud does not accept the credentials: Keystone says so, or a service of an old token.

    Of an application credential that was deleted, Keystone says 404 when a token is asked for.
    """
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
    asks_for_token = str(getattr(error, "url", "") or "").endswith("/auth/tokens")
    return status == 401 or (status == 404 and asks_for_token)


def _log_no_bodies() -> None:
    """At the level DEBUG they log requests with their bodies, of which user-data contains a token.

    Warnings, as of each further attempt, would be lines of their own between ours.
    """
    import logging

    for name in ("keystoneauth", "openstack"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _known(cloud: str) -> str:
    """Raises BadInput for a cloud that no file names."""
    from openstack.config import OpenStackConfig

    config = OpenStackConfig()
    names = [name for name in config.get_cloud_names() if name]
    # Without clouds.yaml, openstacksdk has a cloud "defaults" of its own.
    if cloud in names and config.config_filename:
        return cloud
    if not config.config_filename:
        hint = "Save that of your cloud's dashboard as ~/.config/openstack/clouds.yaml."
        raise BadInput("There is no clouds.yaml.", hint)
    there = f"{config.config_filename} has {', '.join(sorted(names))}."
    raise BadInput(f"There is no cloud {cloud!r}.", did_you_mean.hint([cloud], names, there))


def _hide_secrets(auth: Mapping[str, Any]) -> None:
    """Have errors and logs never show them."""
    for key, value in auth.items():
        if isinstance(value, str) and any(word in key for word in _SECRETS):
            hide(value)


@contextmanager
def _configuration_errors(cloud: str) -> Iterator[None]:
    from keystoneauth1 import exceptions as auth
    from openstack import exceptions

    try:
        yield
    except (exceptions.ConfigException, auth.MissingRequiredOptions, auth.NoMatchingPlugin) as error:
        message = f"clouds.yaml does not describe the cloud {cloud}: {str(error).rstrip('.')}."
        raise BadInput(message, "Compare it with that of your cloud's dashboard.") from None


def _unauthorised(cloud: str) -> Refused:
    return Refused(
        f"The cloud {cloud} does not accept the credentials of clouds.yaml.",
        "They are wrong or have expired: get new ones, for example an application credential.",
    )


def unreachable(cloud: str, error: Exception) -> Unreachable:
    """Return the error for a cloud that does not answer, or whose certificate is not trusted."""
    reason = str(error).rstrip(".")
    if "SSL" in type(error).__name__ or "certificate verify failed" in reason:
        return Unreachable(
            f"The certificate of the cloud {cloud} is not trusted: {reason}.",
            "Set cacert in clouds.yaml to the certificate of its authority.",
        )
    return Unreachable(
        f"The cloud {cloud} does not answer: {reason}.", "Check auth_url in clouds.yaml, and the network."
    )


def _refused(cloud: str, error: Any) -> BakeryError:
    """The error for a status of HTTP, with the explanation of the service."""
    status, why = error.status_code, str(error.details or error.message or error).strip().rstrip(".")
    if status == 401:
        return _unauthorised(cloud)
    if status == 403:
        return Refused(
            f"The cloud {cloud} does not permit this (403): {why}.", "Ask its administrators for the role."
        )
    if status in _FULL:
        return DiskFull(
            f"The cloud {cloud} has no space for the image ({status}): {why}.",
            "Delete images, use --keep N, or ask for a larger quota.",
        )
    if status in (502, 503, 504):
        return Unreachable(f"The cloud {cloud} does not answer ({status}): {why}.", "Try again later.")
    return BakeryError(f"The cloud {cloud} failed ({status}): {why}.")
