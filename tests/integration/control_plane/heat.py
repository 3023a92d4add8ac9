"""A real Heat beside the services of a plane: its API and its engine, from PyPI, on the same network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bakery.runtime.conditions import Condition, wait
from provisioner.process import run
from tests.integration.control_plane import configuration
from tests.integration.control_plane.configuration import AUTH_URL, KEYSTONE, PASSWORD, QUEUE
from tests.integration.control_plane.plane import Plane
from tests.integration.tool_environments import environment

_PORT = 8004
_PACKAGES = ("openstack-heat==26.*", "pymysql==1.*", "gunicorn==27.*", "python-openstackclient==10.*")
_WAIT = 600  # seconds
_DATABASE = """
import pymysql, sys
with pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="os", password="os") as connection:
    connection.cursor().execute("create database heat character set utf8mb3")
"""
# The domain is for users that stacks make; Heat requires it to start, our stacks make none.
_REGISTER = """
password, url = sys.argv[1:]
cloud = connect("admin").identity
project, role = cloud.find_project("service"), cloud.find_role("admin")
user = cloud.create_user(name="heat", password=password, domain_id="default")
for one in (role, cloud.find_role("service")):
    cloud.assign_project_role_to_user(project, user, one)
service = cloud.create_service(name="heat", type="orchestration")
for interface in ("public", "internal"):
    cloud.create_endpoint(service_id=service.id, interface=interface, url=url, region_id="RegionOne")
cloud.create_role(name="heat_stack_user")
domain = cloud.create_domain(name="heat")
admin = cloud.create_user(name="heat_domain_admin", password=password, domain_id=domain.id)
cloud.assign_domain_role_to_user(domain, admin, role)
print(json.dumps(domain.id))
"""


@dataclass(frozen=True)
class Heat:
    """The running service."""

    plane: Plane
    programs: Path

    def openstack(self, *argv: str, cloud: str = "site", expect: tuple[int, ...] = (0,)) -> str:
        """Run OpenStack's command with the plug-in of Heat; return what it prints."""
        env = run.environment(**self.plane.env)
        return run.call(self._argv(cloud, *argv), env=env, seconds=_WAIT, expect=expect).stdout

    def raw(self, *argv: str) -> str:
        """What the command prints, with tokens: `openstack` hides them."""
        env = {**os.environ, **self.plane.env}
        done = subprocess.run(
            self._argv("site", *argv), env=env, capture_output=True, text=True, check=True
        )
        return done.stdout

    def _argv(self, cloud: str, *argv: str) -> list[str]:
        return self.plane.network.argv([str(self.programs / "openstack"), "--os-cloud", cloud, *argv])


@contextmanager
def running(plane: Plane) -> Iterator[Heat]:
    """Start Heat, and end it afterwards."""
    programs = environment("heat", _PACKAGES) / "bin"
    url = f"http://127.0.0.1:{_PORT}/v1/%(tenant_id)s"
    domain = plane.python(_REGISTER, PASSWORD, url)
    file = plane.folder / "heat.conf"
    file.write_text(_configuration(plane.folder, domain, programs.parent))
    _python(plane, programs, _DATABASE, str(configuration.DATABASE_PORT))
    options = ("--config-file", str(file))
    run.call(plane.network.argv([str(programs / "heat-manage"), *options, "db_sync"]), seconds=_WAIT)
    wsgi = plane.folder / "wsgi" / "of_heat.py"
    wsgi.write_text(
        f"import sys\nsys.argv = ['heat-api', *{options!r}]\nfrom heat.wsgi.api import application\n"
    )
    served = [str(programs / "gunicorn"), "-b", f"127.0.0.1:{_PORT}", "--threads", "4", "--timeout", "600"]
    api = plane.network.argv([*served, "--no-control-socket", "of_heat:application"])
    engine = plane.network.argv([str(programs / "heat-engine"), *options])
    logs = plane.folder / "log"
    env = run.environment(PYTHONPATH=str(wsgi.parent))
    with (
        run.background(api, log=logs / "api-heat.out", env=env),
        run.background(engine, log=logs / "heat-engine.out"),
    ):
        heat = Heat(plane, programs)
        ready = ("orchestration", "service", "list", "-f", "value", "-c", "Status")
        condition = Condition(
            "Heat's engine is up",
            lambda: heat.openstack(*ready, cloud="admin"),
            _WAIT,
            lambda out: "up" in out,
        )
        wait(condition)
        yield heat


def _python(plane: Plane, programs: Path, script: str, *argv: str) -> None:
    words = [str(programs / "python"), "-", *argv]
    run.call(plane.network.argv(words), stdin=script.encode(), seconds=_WAIT)


def _configuration(folder: Path, domain: str, environment_folder: Path) -> str:
    user = f"""
auth_url = http://127.0.0.1:{KEYSTONE}
auth_type = password
project_domain_name = Default
user_domain_name = Default
username = heat
password = {PASSWORD}
"""
    return f"""
[DEFAULT]
log_file = {folder}/log/heat.log
transport_url = {QUEUE}
num_engine_workers = 1
region_name_for_services = RegionOne
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = {PASSWORD}
stack_user_domain_id = {domain}
auth_encryption_key = 0123456789abcdef0123456789abcdef
environment_dir = {environment_folder}/etc/heat/environment.d
template_dir = {environment_folder}/etc/heat/templates
[paste_deploy]
api_paste_config = {environment_folder}/etc/heat/api-paste.ini
[database]
connection = {configuration.database("heat")}
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:{KEYSTONE}
project_name = service{user}
[trustee]{user}
[clients_keystone]
auth_uri = {AUTH_URL}
[oslo_concurrency]
lock_path = {folder}/lock
[oslo_policy]
enforce_scope = false
"""
