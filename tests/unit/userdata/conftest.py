"""Put the guest's runtime on sys.path, also if only this folder is tested."""

from tests.unit.worker import conftest  # noqa: F401  # for its effect
