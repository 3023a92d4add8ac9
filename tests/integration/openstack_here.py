"""A real Keystone and a real Glance on loopback, from PyPI, in an environment beside the project.

Both are WSGI applications, run by gunicorn over SQLite; images are files. Two projects: `site`, in which a
user without further roles publishes, and `other`. clouds.yaml has a cloud for each, and for `admin`.
"""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bakery.runtime.conditions import Condition, wait
from provisioner.process import run
from tests.integration.tool_environments import environment

PASSWORD = "canary-of-the-cloud-1f3a"
PACKAGES = ("keystone==30.*", "glance==33.*", "gunicorn==27.*", "python-openstackclient==10.*")
SIZE_CAP = 300 << 20  # bytes of one image
_WAIT = 600  # seconds


@dataclass(frozen=True)
class Cloud:
    """The running services; `folder` has clouds.yaml, `data` the files of Glance."""

    folder: Path
    programs: Path
    auth_url: str
    image_url: str

    @property
    def env(self) -> dict[str, str]:
        return {"OS_CLIENT_CONFIG_FILE": str(self.folder / "clouds.yaml")}

    @property
    def data(self) -> Path:
        return self.folder / "images"

    def openstack(self, cloud: str, *argv: str) -> Any:
        """The JSON output of the command-line client, None if it prints nothing."""
        words = [str(self.programs / "openstack"), "--os-cloud", cloud, *argv]
        done = run.call(words, env=run.environment(**self.env), seconds=_WAIT)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def python(self, script: str) -> str:
        """The standard output of a script that has openstacksdk."""
        argv = [str(self.programs / "python"), "-"]
        env = run.environment(**self.env)
        return run.call(argv, stdin=script.encode(), env=env, seconds=_WAIT).stdout

    def images(self, cloud: str = "site", *argv: str) -> dict[str, str]:
        """The ids of the images of `openstack image list`, and their names."""
        rows = self.openstack(cloud, "image", "list", "-f", "json", *argv)
        return {row["ID"]: row["Name"] for row in rows}

    def show(self, image: str, cloud: str = "site") -> dict[str, Any]:
        found: dict[str, Any] = self.openstack(cloud, "image", "show", "-f", "json", image)
        return found


@contextmanager
def running(folder: Path) -> Iterator[Cloud]:
    """Start the services, and end them afterwards."""
    programs = environment("openstack", PACKAGES) / "bin"
    keystone, glance = _free_port(), _free_port()
    auth_url = f"http://127.0.0.1:{keystone}/v3"
    for name in ("fernet", "credential", "images", "lock", "wsgi"):
        (folder / name).mkdir()
    (folder / "keystone.conf").write_text(_keystone(folder))
    (folder / "glance-api.conf").write_text(_glance(folder, programs.parent, keystone))
    image_url = f"http://127.0.0.1:{glance}"
    cloud = Cloud(folder, programs, auth_url, image_url)
    with ExitStack() as services:
        _prepare_keystone(cloud)
        env = {"OS_KEYSTONE_CONFIG_FILES": str(folder / "keystone.conf")}
        services.enter_context(_served(cloud, "keystone", "keystone.wsgi.api", keystone, env))
        _wait_for(auth_url, folder / "keystone.log")
        _write_clouds(cloud)
        _accounts(cloud)
        _manage(cloud, "glance-manage", "glance-api.conf", "db_sync")
        env = {
            "OS_GLANCE_CONFIG_FILES": str(folder / "glance-api.conf"),
            "OS_GLANCE_CONFIG_DIR": str(folder),
        }
        services.enter_context(_served(cloud, "glance", "glance.wsgi.api", glance, env))
        _wait_for(f"{image_url}/versions", folder / "glance.log")
        yield cloud


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _keystone(folder: Path) -> str:
    return f"""
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
"""


def _glance(folder: Path, environment_folder: Path, keystone: int) -> str:
    return f"""
[DEFAULT]
enabled_backends = files:file
image_size_cap = {SIZE_CAP}
[database]
connection = sqlite:///{folder}/glance.db
[paste_deploy]
flavor = keystone
config_file = {environment_folder}/etc/glance/glance-api-paste.ini
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[oslo_concurrency]
lock_path = {folder}/lock
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:{keystone}
auth_url = http://127.0.0.1:{keystone}
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = glance
password = {PASSWORD}
"""


def _prepare_keystone(cloud: Cloud) -> None:
    _manage(cloud, "keystone-manage", "keystone.conf", "db_sync")
    for keys in ("fernet_setup", "credential_setup"):
        _manage(
            cloud,
            "keystone-manage",
            "keystone.conf",
            keys,
            "--keystone-user",
            "root",
            "--keystone-group",
            "root",
        )
    url = ("--bootstrap-public-url", f"{cloud.auth_url}/", "--bootstrap-internal-url", f"{cloud.auth_url}/")
    bootstrap = ("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", "RegionOne", *url)
    _manage(cloud, "keystone-manage", "keystone.conf", *bootstrap)


def _manage(cloud: Cloud, program: str, configuration: str, *argv: str) -> None:
    run.call(
        [str(cloud.programs / program), "--config-file", str(cloud.folder / configuration), *argv],
        seconds=_WAIT,
    )


@contextmanager
def _served(cloud: Cloud, name: str, module: str, port: int, env: Mapping[str, str]) -> Iterator[None]:
    # The services read sys.argv, which is gunicorn's here.
    text = f"import sys\nsys.argv = sys.argv[:1]\nfrom {module} import application\n"
    (cloud.folder / "wsgi" / f"of_{name}.py").write_text(text)
    argv = [
        str(cloud.programs / "gunicorn"),
        "-b",
        f"127.0.0.1:{port}",
        "--threads",
        "8",
        "--timeout",
        "600",
    ]
    all_env = run.environment(PYTHONPATH=str(cloud.folder / "wsgi"), **env)
    with run.background([*argv, f"of_{name}:application"], log=cloud.folder / f"{name}.log", env=all_env):
        yield


def _wait_for(url: str, log: Path) -> None:
    def answers() -> bool:
        with suppress(OSError), urllib.request.urlopen(url, timeout=30) as answer:
            return bool(answer.status < 400)
        return False

    wait(Condition(f"{url} answers", answers, _WAIT), end_reason=lambda: "")


def _write_clouds(cloud: Cloud) -> None:
    def entry(user: str, project: str, **more: str) -> dict[str, Any]:
        domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
        auth = {"auth_url": cloud.auth_url, "username": user, "password": PASSWORD, "project_name": project}
        return {"auth": {**auth, **domains, **more}, "region_name": "RegionOne"}

    clouds = {
        "admin": entry("admin", "admin"),
        "site": entry("publisher", "site"),
        "other": entry("other", "other"),
        "wrong-password": entry("publisher", "site", password="canary-of-a-wrong-password"),
        "unreachable": entry("publisher", "site", auth_url=f"http://127.0.0.1:{_free_port()}/v3"),
    }
    (cloud.folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": clouds}))


def _accounts(cloud: Cloud) -> None:
    """Projects, users and the endpoint of Glance, by one process."""
    script = f"""
import openstack
cloud = openstack.connect(cloud="admin").identity
for user, project, role in (
    ("glance", "service", "admin"), ("publisher", "site", "member"), ("other", "other", "member")
):
    project = cloud.create_project(name=project, domain_id="default")
    user = cloud.create_user(name=user, password={PASSWORD!r}, domain_id="default")
    cloud.assign_project_role_to_user(project, user, cloud.find_role(role))
service = cloud.create_service(name="glance", type="image").id
where = dict(url={cloud.image_url!r}, region_id="RegionOne")
cloud.create_endpoint(service_id=service, interface="public", **where)
"""
    cloud.python(script)
