"""Deletes this worker's own server in OpenStack, with OnIdle = delete.

The credential is an application credential of Keystone, restricted by an access rule to the deletion of
this server. It has the server's id in its name, as only that is known of a server when it has been made;
its secret comes with the user-data. (Keystone's API v3, "Application Credentials": a name and the user
identify one, and the secret is the client's choice.)

No message contains the credential, or what a service answers.
"""

import json
import urllib.error
import urllib.request
from typing import Any, Dict, Mapping, Optional, Tuple

from worker_runtime.configuration import instance
from worker_runtime.configuration.token import ServerCredential, parse_credential
from worker_runtime.system import files, paths

SECONDS = 20  # for each of the two requests
NAME = "worker-bakery-%s"  # of the application credential; the id of the server


class Failed(Exception):
    """Why the server was not deleted, in words."""


def delete_server() -> str:
    """Delete this server; return what happened, in words."""
    try:
        credential = parse_credential(files.read_text(paths.SERVER_CREDENTIAL).strip())
        server = instance.cloud_attributes(files.read_json(instance.INSTANCE)).get("CloudInstanceID", "")
        if not credential:
            raise Failed("there is no credential")
        if not server:
            raise Failed("cloud-init does not know the id of this server")
        _delete(credential, server)
    except Failed as reason:
        return "this server could not delete itself, and is charged until you delete it: %s" % reason
    return "OpenStack deletes this server"


def _delete(credential: ServerCredential, server: str) -> None:
    """Raises Failed."""
    body = json.dumps(authentication(credential, server)).encode("utf-8")
    url = credential.auth_url.rstrip("/") + "/auth/tokens"
    headers, answer = _request("POST", url, {"Content-Type": "application/json"}, body)
    token = headers.get("x-subject-token", "")
    try:
        endpoint = compute_endpoint(json.loads(answer.decode("utf-8")), credential.region)
    except ValueError:
        endpoint = ""
    if not token or not endpoint:
        raise Failed("Keystone does not name an endpoint of Nova")
    _request("DELETE", "%s/servers/%s" % (endpoint.rstrip("/"), server), {"X-Auth-Token": token})


def authentication(credential: ServerCredential, server: str) -> Dict[str, Any]:
    """The body of the request for a token. Pure."""
    about = {
        "name": NAME % server,
        "secret": credential.secret,
        "user": {"id": credential.user},
    }
    return {"auth": {"identity": {"methods": ["application_credential"], "application_credential": about}}}


def compute_endpoint(answer: Mapping[str, Any], region: str) -> str:
    """The public address of Nova in the catalogue of a token; "" if there is none. Pure."""
    services = (answer.get("token") or {}).get("catalog") or []
    endpoints = [one for it in services if it.get("type") == "compute" for one in it.get("endpoints", [])]
    for one in endpoints:
        if one.get("interface") == "public" and region in ("", one.get("region_id"), one.get("region")):
            return str(one.get("url", ""))
    return ""


def _request(
    method: str, url: str, headers: Mapping[str, str], body: Optional[bytes] = None
) -> Tuple[Dict[str, str], bytes]:
    """The headers of the answer, in lower case, and its content. Raises Failed."""
    service = "Keystone" if method == "POST" else "Nova"
    try:
        request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            found = {name.lower(): value for name, value in answer.getheaders()}
            return found, answer.read(1 << 20)
    except urllib.error.HTTPError as error:
        raise Failed("%s refuses it with status %d" % (service, error.code)) from None
    except urllib.error.URLError as error:
        raise Failed("%s does not answer: %s" % (service, error.reason)) from None
    except (OSError, ValueError) as error:  # a time limit, or an address that is none
        raise Failed("%s does not answer: %s" % (service, type(error).__name__)) from None
