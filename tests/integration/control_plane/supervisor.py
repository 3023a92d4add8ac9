"""Runs the services in a sandbox until it is killed:  python -m … FOLDER ENVIRONMENT DEBIAN

The sandbox has its own mounts and processes, so that nothing of the services is left when it ends. All
listen on the loopback interface of the network that the sandbox is in. FOLDER/up appears when the services
answer.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bakery.runtime.conditions import Condition, wait
from provisioner.process import run
from tests.integration.control_plane import configuration
from tests.integration.control_plane.configuration import PASSWORD

_WAIT = 600  # seconds
_HERE = Path(__file__).parent
_WSGI = {
    "keystone": (configuration.KEYSTONE, "keystone.wsgi.api"),
    "glance": (configuration.GLANCE, "glance.wsgi.api"),
    "placement": (configuration.PLACEMENT, "placement.wsgi.api"),
    "neutron": (configuration.NEUTRON, "neutron.wsgi.api"),
    "nova": (configuration.NOVA, "nova.wsgi.osapi_compute"),
    "metadata": (configuration.METADATA, "nova.wsgi.metadata"),
}
_PART_OF = {"metadata": "nova"}
# The variables OS_…_CONFIG_FILES; some services know the names of their files.
_FILES = {
    "keystone": "{}/keystone.conf",
    "glance": "",
    "placement": "",
    "neutron": "{}/neutron.conf",
    "nova": "api-paste.ini;nova.conf",
}
# Users and endpoints of the services, by openstacksdk in the environment of the services.
_REGISTER = """
import openstack, sys
password, *services = sys.argv[1:]
cloud = openstack.connect(cloud="admin").identity
project = cloud.create_project(name="service", domain_id="default")
roles = [cloud.find_role("admin"), cloud.find_role("service") or cloud.create_role(name="service")]
for one in services:
    name, kind, url = one.split(",")
    user = cloud.create_user(name=name, password=password, domain_id="default")
    for role in roles:
        cloud.assign_project_role_to_user(project, user, role)
    service = cloud.create_service(name=name, type=kind)
    for interface in ("public", "internal"):
        cloud.create_endpoint(service_id=service.id, interface=interface, url=url, region_id="RegionOne")
"""
_KINDS = {
    "glance": ("image", f"http://{configuration.HOST}:{configuration.GLANCE}"),
    "placement": ("placement", f"http://{configuration.HOST}:{configuration.PLACEMENT}"),
    "nova": ("compute", f"http://{configuration.HOST}:{configuration.NOVA}/v2.1"),
    "neutron": ("network", f"http://{configuration.HOST}:{configuration.NEUTRON}"),
}


@dataclass(frozen=True)
class Services:
    """The services of a folder; `environment` has their Python packages."""

    folder: Path
    environment: Path
    stack: ExitStack
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        for name in ("fernet", "credential", "images", "nova", "lock", "log", "rabbit", "wsgi"):
            (self.folder / name).mkdir()
        for name, text in configuration.files(self.folder, self.environment).items():
            (self.folder / name).write_text(text)
        shutil.copy(self.environment / "etc/nova/api-paste.ini", self.folder)
        self._database()
        self._queue()
        with ThreadPoolExecutor() as threads:
            databases = [
                threads.submit(one) for one in (self._glance, self._placement, self._neutron, self._nova)
            ]
            self._keystone()
            for one in databases:
                one.result()
        self._start_apis()
        for name in ("conductor", "scheduler", "compute"):
            self._background(
                f"nova-{name}", [self._bin(f"nova-{name}"), "--config-file", self._file("nova.conf")]
            )
        self._until("Nova has found its host", self._host_is_found)

    # --- what the services stand on ---

    def _database(self) -> None:
        data, socket = self.folder / "db", self.folder / "db.sock"
        run.call(
            ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
             "--auth-root-authentication-method=normal"],
            seconds=_WAIT,
        )  # fmt: skip
        self._background(
            "mariadb",
            ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}",
             "--bind-address=127.0.0.1", f"--port={configuration.DATABASE_PORT}",
             "--innodb-flush-log-at-trx-commit=0", "--max-connections=500"],
        )  # fmt: skip
        client = ["mariadb", "--no-defaults", "-uroot", "-S", str(socket), "-e"]
        self._until("MariaDB answers", lambda: run.call([*client, "select 1"]))
        create = (f"create database {name} character set utf8mb3;" for name in configuration.DATABASES)
        user = "create user os@'127.0.0.1' identified by 'os'; grant all on *.* to os@'127.0.0.1';"
        run.call([*client, user + "".join(create)])

    def _queue(self) -> None:
        folder = str(self.folder / "rabbit")
        env = {
            "RABBITMQ_MNESIA_BASE": folder,
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "HOME": folder,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": "25672",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._background("rabbitmq", ["/usr/lib/rabbitmq/bin/rabbitmq-server"], **env)

    # --- databases of the services ---

    def _keystone(self) -> None:
        manage = "keystone-manage", "keystone.conf"
        self._manage(*manage, "db_sync")
        for keys in ("fernet_setup", "credential_setup"):
            self._manage(*manage, keys, "--keystone-user", "root", "--keystone-group", "root")
        url = f"{configuration.AUTH_URL}/"
        self._manage(
            *manage, "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", "RegionOne",
            "--bootstrap-public-url", url, "--bootstrap-internal-url", url,
        )  # fmt: skip

    def _glance(self) -> None:
        self._manage("glance-manage", "glance-api.conf", "db_sync")

    def _placement(self) -> None:
        self._manage("placement-manage", "placement.conf", "db", "sync")

    def _neutron(self) -> None:
        self._manage("neutron-db-manage", "neutron.conf", "upgrade", "heads")

    def _nova(self) -> None:
        nova = "nova-manage", "nova.conf"
        self._manage(*nova, "api_db", "sync")
        cell = configuration.database("nova_cell0")
        self._manage(*nova, "cell_v2", "map_cell0", "--database_connection", cell)
        self._manage(*nova, "db", "sync")
        self._manage(*nova, "cell_v2", "create_cell", "--name", "cell1")

    # --- programs ---

    def _start_apis(self) -> None:
        for name in _WSGI:
            if name == "keystone":
                self._api(name)
                self._answers(name)
                services = [f"{one},{kind},{url}" for one, (kind, url) in _KINDS.items()]
                self.python(_REGISTER, PASSWORD, *services)
            else:
                self._api(name)
        for name in _WSGI:
            self._answers(name)

    def _api(self, name: str) -> None:
        port, module = _WSGI[name]
        # The services read sys.argv, which is gunicorn's here.
        text = f"import sys\nsys.argv = sys.argv[:1]\nfrom {module} import application\n"
        (self.folder / "wsgi" / f"of_{name}.py").write_text(text)
        project = _PART_OF.get(name, name)
        prefix = f"OS_{project.upper()}_CONFIG"
        env = {f"{prefix}_DIR": str(self.folder), f"{prefix}_FILES": _FILES[project].format(self.folder)}
        # A client may use a connection again just when gunicorn closes it, by default after two seconds.
        # Nova asks Neutron for the ports of 150 servers at once, in one line.
        long = ("--timeout", "600", "--keep-alive", "600", "--limit-request-line", "0")
        options = ("--threads", "8", "--no-control-socket", *long)
        argv = [self._bin("gunicorn"), "-b", f"{configuration.HOST}:{port}", *options]
        paths = f"{self.folder / 'wsgi'}:{self.folder / 'drivers'}"
        self._background(f"api-{name}", [*argv, f"of_{name}:application"], PYTHONPATH=paths, **env)

    def _answers(self, name: str) -> None:
        def answers() -> bool:
            try:
                urllib.request.urlopen(f"http://{configuration.HOST}:{_WSGI[name][0]}/", timeout=30).close()
            except urllib.error.HTTPError:
                return True  # an error is an answer
            except OSError:
                return False
            return True

        self._until(f"the API of {name} answers", answers)

    def _host_is_found(self) -> bool:
        self._manage("nova-manage", "nova.conf", "cell_v2", "discover_hosts")
        script = (
            "import openstack; print(len(list(openstack.connect(cloud='admin').compute.hypervisors())))"
        )
        return self.python(script).strip() == "1"

    def python(self, script: str, *argv: str) -> str:
        env = run.environment(OS_CLIENT_CONFIG_FILE=str(self.folder / "clouds.yaml"))
        words = [self._bin("python"), "-", *argv]
        return run.call(words, stdin=script.encode(), env=env, seconds=_WAIT).stdout

    def _manage(self, program: str, configuration_file: str, *argv: str) -> None:
        words = [self._bin(program), "--config-file", self._file(configuration_file), *argv]
        run.call(words, env=self._env(), seconds=_WAIT)

    def _background(self, name: str, argv: list[str], **env: str) -> None:
        log = self.folder / "log" / f"{name}.out"
        process = self.stack.enter_context(run.background(argv, log=log, env=self._env(**env)))
        self.started[name] = process

    def _env(self, **more: str) -> dict[str, str]:
        clean = {name: value for name, value in run.environment().items() if name != "PYTHONPATH"}
        return {**clean, **more}

    def _bin(self, name: str) -> str:
        return str(self.environment / "bin" / name)

    def _file(self, name: str) -> str:
        return str(self.folder / name)

    def _until(self, what: str, query: Callable[[], object]) -> None:
        wait(Condition(what, query, _WAIT), end_reason=self._ended)

    def _ended(self) -> str:
        """Which of the services has ended, and its last words."""
        ended = [name for name, process in self.started.items() if process.poll() is not None]
        logs = ((name, self.folder / "log" / f"{name}.out") for name in ended)
        return "".join(f"{name} has ended: {log.read_text()[-2000:]}" for name, log in logs)


def _drivers(folder: Path) -> None:
    """The mechanism driver as an installed package: a module and its entry point."""
    about = folder / "drivers/bind_every_port-1.dist-info"
    about.mkdir(parents=True)
    shutil.copy(_HERE / "bind_every_port.py", folder / "drivers")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bind-every-port\nVersion: 1\n")
    entry = "[neutron.ml2.mechanism_drivers]\nbind_every_port = bind_every_port:Driver\n"
    (about / "entry_points.txt").write_text(entry)


def main(folder: Path, environment: Path, debian: Path) -> None:
    run.call(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={debian}/usr:/usr", "/usr"])
    _drivers(folder)
    with ExitStack() as stack:
        Services(folder, environment, stack).start()
        (folder / "up").touch()
        signal.pause()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
