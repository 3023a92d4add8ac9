"""Find out with a real application credential whether the cloud restricts it by its access rule.

Keystone keeps access rules; each service applies them, by keystonemiddleware (auth_token, since Train), if
its configuration has service_type. The middleware does not apply them to a request that has the token of a
service, and takes any token for one unless service_token_roles_required is set.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass

from bakery.fleet.self_deletion.keystone import Keystone
from provisioner.errors import Refused
from provisioner.events import Monitor, warn
from provisioner.process.scrub import hide, scrub

_REFUSED = (401, 403)
_OMIT = "Omit --on-idle delete, or ask the administrators of the cloud."


@dataclass(frozen=True)
class Answers:
    """The statuses of Nova's answers to the holder of the credential of a server that does not exist.

    `disguised` is the forbidden call with the holder's own token as that of a service.
    """

    permitted: int
    forbidden: int
    disguised: int


def run(keystone: Keystone, monitor: Monitor) -> None:
    """Make an application credential and use it; it is left, as one whose server has gone.

    Raises Refused: the cloud cannot restrict such credentials, or does not let servers be deleted by them.
    """
    server, secret = str(uuid.uuid4()), secrets.token_urlsafe(32)
    hide(secret)
    keystone.make(server, secret)
    if risk := judged(_ask(keystone, server, secret)):
        warn(monitor, risk)


def judged(found: Answers) -> str:
    """Return a warning, "" for none. Raises Refused."""
    if found.forbidden not in _REFUSED:
        raise Refused(
            "The cloud's Nova does not apply access rules: whoever has the credential of a server could "
            "use all of Nova.",
            _OMIT,
        )
    if found.permitted in _REFUSED:
        raise Refused(
            f"The cloud's Nova refuses application credentials with access rules ({found.permitted}); "
            "probably service_type is not set in its section keystone_authtoken.",
            _OMIT,
        )
    if found.disguised in _REFUSED:
        return ""
    return (
        "The cloud's Nova does not set service_token_roles_required: somebody who reads the credential of "
        "a server, which only root can, gets round its access rule, and acts as a member of your project."
    )


def _ask(keystone: Keystone, server: str, secret: str) -> Answers:
    from keystoneauth1 import exceptions

    try:
        session = keystone.session(server, secret)
        token = str(session.get_token())
        hide(token)
    except exceptions.HttpError as error:
        why = scrub(str(error)).strip().rstrip(".")
        raise Refused(f"Keystone does not accept the credential that it has made: {why}.", _OMIT) from None

    def status(verb: str, path: str, **headers: str) -> int:
        url = f"{keystone.compute}{path}"
        return int(session.request(url, verb, headers=headers, raise_exc=False).status_code)

    return Answers(
        permitted=status("DELETE", f"/servers/{server}"),
        forbidden=status("GET", "/servers"),
        disguised=status("GET", "/servers", **{"X-Service-Token": token}),
    )
