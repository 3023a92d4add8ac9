"""What a machine behind QEMU's user network reaches of a URL that this machine does.

Its gateway, 10.0.2.2, is this machine's 127.0.0.1, and its network, 10.0.2.0/24, hides any other of these
addresses. Source: QEMU's documentation, "Using the user mode network stack".
"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address
from urllib.parse import urlsplit, urlunsplit

from provisioner.errors import BadInput

GATEWAY = "10.0.2.2"
_HIDDEN = IPv4Network("10.0.2.0/24")
_OTHERWISE = "Use --engine chroot, or name the server by an address that other machines reach."


def seen_from_guest(name: str, url: str) -> str:
    """The URL of repository `name`, as the machine writes it. Raises BadInput if it cannot be reached."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if host not in ("localhost", "127.0.0.1"):
        _refuse_hidden(name, host)
        return url
    if parts.scheme == "https":
        raise BadInput(
            f"--repository-url {name}: a virtual machine sees {host} as {GATEWAY}, and the server's "
            "certificate is not for that.",
            f"Use http there, as packages are signed. {_OTHERWISE}",
        )
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{GATEWAY}{port}"))


def _refuse_hidden(name: str, host: str) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        return  # a name, which the machine asks this machine's resolver for
    if address.is_loopback or address.is_unspecified:
        why = f"of this machine's own addresses a virtual one reaches 127.0.0.1 only, not {host}"
    elif address in _HIDDEN:
        why = f"{host} is on the network that a virtual machine has for itself, {_HIDDEN}"
    else:
        return
    raise BadInput(f"--repository-url {name}: {why}.", _OTHERWISE)
