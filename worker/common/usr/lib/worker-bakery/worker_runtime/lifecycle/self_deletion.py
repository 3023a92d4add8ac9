"""Deletes this worker's own server in OpenStack, with OnIdle = delete.

The credential is an application credential of Keystone, restricted by an access rule to the deletion of
this server. It has the server's id in its name, as only that is known of a server when it has been made;
its secret comes with the user-data. (Keystone's API v3, "Application Credentials": a name and the user
identify one, and the secret is the client's choice.)

No message contains the credential, or what a service answers.
"""

import http.client
import json
import re
import urllib.error
import urllib.request
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

from worker_runtime.configuration import instance
from worker_runtime.configuration.token import ServerCredential, parse_credential
from worker_runtime.system import files, paths

SECONDS = 20  # for each of the two requests
TRIES = 4
RETRY_SECONDS = 10  # at least; the watch inspects the worker at intervals
NAME = "worker-bakery-%s"  # of the application credential; the id of the server
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class Failed(Exception):
    """Why the server was not deleted, in words."""


class Passing(Failed):
    """A cause that may pass: no answer, too many requests, a fault of the service."""


class Deletion(NamedTuple):
    """How far the deletion has come."""

    tries: int = 0
    at: float = 0.0  # the last try, in seconds since boot
    ended: bool = False
    said: str = ""  # what happened, in words


def attempt(last: Deletion, now: float, delete: Callable[[], None]) -> Deletion:
    """Delete the server, or try again, unless the last try was just now."""
    if last.tries and now - last.at < RETRY_SECONDS:
        return last
    tries = last.tries + 1
    try:
        delete()
    except Failed as reason:
        if isinstance(reason, Passing) and tries < TRIES:
            return Deletion(tries, now, False, "%s, trying again" % reason)
        text = "this server could not delete itself, and is charged until it is deleted: %s"
        return Deletion(tries, now, True, text % reason)
    return Deletion(tries, now, True, "OpenStack deletes this server")


def delete_server() -> None:
    """Have this server deleted. Raises Failed."""
    credential = parse_credential(files.read_text(paths.SERVER_CREDENTIAL).strip())
    server = instance.cloud_attributes(files.read_json(instance.INSTANCE)).get("CloudInstanceID", "")
    if not credential:
        raise Failed("there is no credential")
    if not _ID.match(server):
        raise Failed("cloud-init does not know the id of this server in OpenStack")
    _delete(credential, server)


def _delete(credential: ServerCredential, server: str) -> None:
    """Raises Failed."""
    # Without the catalogue, which is not needed.
    login = credential.auth_url.rstrip("/") + "/auth/tokens?nocatalog"
    body = json.dumps(authentication(credential, server)).encode("utf-8")
    headers = _request("Keystone", "POST", login, {"Content-Type": "application/json"}, body)
    if not headers.get("x-subject-token"):
        raise Failed("Keystone gives no token")
    key = {"X-Auth-Token": headers["x-subject-token"]}
    _request("Nova", "DELETE", "%s/servers/%s" % (credential.compute.rstrip("/"), server), key)


def authentication(credential: ServerCredential, server: str) -> Dict[str, Any]:
    """The body of the request for a token. Pure."""
    about = {
        "name": NAME % server,
        "secret": credential.secret,
        "user": {"id": credential.user},
    }
    return {"auth": {"identity": {"methods": ["application_credential"], "application_credential": about}}}


def _request(
    service: str, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes] = None
) -> Dict[str, str]:
    """The headers of the answer, with names in lower case. Raises Failed."""
    try:
        request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return {name.lower(): value for name, value in answer.getheaders()}
    except urllib.error.HTTPError as error:
        error.close()
        kind = Passing if error.code == 429 or error.code >= 500 else Failed
        raise kind("%s answers with status %d" % (service, error.code)) from None
    except urllib.error.URLError as error:
        raise Passing("%s does not answer: %s" % (service, error.reason)) from None
    # A time limit, an answer that is none, or an address that is none.
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Passing("%s does not answer: %s" % (service, type(error).__name__)) from None
