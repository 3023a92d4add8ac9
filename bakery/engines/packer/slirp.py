"""Translate URLs for a guest on QEMU's user-mode network (slirp).

The guest reaches 127.0.0.1 of this machine at the gateway address 10.0.2.2. Its network, 10.0.2.0/24, hides
real hosts with such addresses. Source: QEMU's documentation, "Using the user mode network stack".
"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address
from urllib.parse import urlsplit, urlunsplit

from provisioner.errors import BadInput

GATEWAY = "10.0.2.2"
_HIDDEN = IPv4Network("10.0.2.0/24")
_OTHERWISE = "Use --engine chroot, or an address of the server that other machines can reach."


def seen_from_guest(name: str, url: str) -> str:
    """The URL that the guest must use for repository `name`. Raises BadInput if it cannot reach it."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if host not in ("localhost", "127.0.0.1"):
        _refuse_hidden(name, host)
        return url
    if parts.scheme == "https":
        raise BadInput(
            f"--repository-url {name}: the virtual machine reaches {host} as {GATEWAY}, for which the "
            "certificate of the server is not valid.",
            f"Use http: packages are signed. {_OTHERWISE}",
        )
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{GATEWAY}{port}"))


def _refuse_hidden(name: str, host: str) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        return  # a host name; the guest resolves it with this machine's resolver
    if address.is_loopback or address.is_unspecified:
        why = (
            f"of this machine's loopback addresses, the virtual machine reaches 127.0.0.1 only, not {host}"
        )
    elif address in _HIDDEN:
        why = f"{host} is in {_HIDDEN}, the internal network of the virtual machine"
    else:
        return
    raise BadInput(f"--repository-url {name}: {why}.", _OTHERWISE)
