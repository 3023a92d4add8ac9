"""The configuration of the services. Pure."""

from __future__ import annotations

from pathlib import Path

HOST = "127.0.0.1"
PASSWORD = "canary-of-the-plane-7c2e"
KEYSTONE, GLANCE, PLACEMENT, NOVA, NEUTRON = 5000, 9292, 8778, 8774, 9696
METADATA = 8776  # of Nova, behind metadata_agent.py
AUTH_URL = f"http://{HOST}:{KEYSTONE}/v3"
NOVA_URL = f"http://{HOST}:{NOVA}/v2.1"
FAULTY_NOVA = "http://127.0.0.1:8775/v2.1"
CINDER = "http://127.0.0.1:8775/cinder/v3"  # a stand-in, of faulty_nova.py
DATABASE_PORT = 3307
DATABASES = ("keystone", "glance", "placement", "neutron", "nova", "nova_api", "nova_cell0")
QUEUE = "rabbit://guest:guest@127.0.0.1:5672/"


def database(name: str) -> str:
    return f"mysql+pymysql://os:os@127.0.0.1:{DATABASE_PORT}/{name}?charset=utf8mb3"


def files(folder: Path, environment: Path) -> dict[str, str]:
    """The text of each file, by its name."""
    return {
        "keystone.conf": _keystone(folder),
        "glance-api.conf": _glance(folder, environment),
        "placement.conf": _placement(),
        "nova.conf": _nova(folder),
        "neutron.conf": _neutron(folder, environment),
    }


def _user(name: str) -> str:
    return f"""
auth_url = http://{HOST}:{KEYSTONE}
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = {name}
password = {PASSWORD}
"""


def _token(name: str, kind: str) -> str:
    """A service knows its `kind` to apply the access rules of application credentials.

    Without the other line, any token with a request would make it one of a service, which has no rules.
    """
    rules = f"service_type = {kind}\nservice_token_roles_required = true\n"
    return f"[keystone_authtoken]\n{rules}www_authenticate_uri = http://{HOST}:{KEYSTONE}{_user(name)}"


def _client(section: str, name: str) -> str:
    return f"[{section}]\nregion_name = RegionOne\nvalid_interfaces = public{_user(name)}"


def _common(folder: Path) -> str:
    return f"[oslo_concurrency]\nlock_path = {folder}/lock\n[oslo_policy]\nenforce_scope = false\n"


def _keystone(folder: Path) -> str:
    return f"""
[DEFAULT]
log_file = {folder}/log/keystone.log
[database]
connection = {database("keystone")}
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[oslo_policy]
enforce_scope = false
"""


def _glance(folder: Path, environment: Path) -> str:
    return f"""
[DEFAULT]
log_file = {folder}/log/glance.log
enabled_backends = files:file
[database]
connection = {database("glance")}
[paste_deploy]
flavor = keystone
config_file = {environment}/etc/glance/glance-api-paste.ini
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
{_token("glance", "image")}{_common(folder)}"""


def _placement() -> str:
    return f"""
[api]
auth_strategy = keystone
[placement_database]
connection = {database("placement")}
{_token("placement", "placement")}"""


def _nova(folder: Path) -> str:
    return f"""
[DEFAULT]
log_dir = {folder}/log
state_path = {folder}/nova
transport_url = {QUEUE}
compute_driver = fake.FakeDriver
my_ip = 127.0.0.1
host = fake1
# No agent tells Nova that a port is up.
vif_plugging_timeout = 0
vif_plugging_is_fatal = false
[quota]
instances = -1
cores = -1
ram = -1
# Several workers inherit one connection to Placement from the process that forks them. One then receives
# the answer to the request of another: "KeyError: 'errors'", or no valid host.
[scheduler]
workers = 1
[conductor]
workers = 1
[api]
auth_strategy = keystone
[api_database]
connection = {database("nova_api")}
[database]
connection = {database("nova")}
[glance]
api_servers = http://{HOST}:{GLANCE}
# Neutron lets a user's servers delete their ports only by a service.
[service_user]
send_service_user_token = true{_user("nova")}
{_token("nova", "compute")}
{_client("placement", "placement")}{_client("neutron", "neutron")}
service_metadata_proxy = true
metadata_proxy_shared_secret = {PASSWORD}
{_common(folder)}"""


def _neutron(folder: Path, environment: Path) -> str:
    return f"""
[DEFAULT]
log_file = {folder}/log/neutron.log
core_plugin = ml2
service_plugins =
transport_url = {QUEUE}
auth_strategy = keystone
api_paste_config = {environment}/etc/neutron/api-paste.ini
state_path = {folder}/neutron
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
[quotas]
quota_port = -1
[ml2]
type_drivers = local,flat
tenant_network_types = local
mechanism_drivers = bind_every_port
[database]
connection = {database("neutron")}
{_token("neutron", "network")}{_client("placement", "placement")}{_common(folder)}"""
