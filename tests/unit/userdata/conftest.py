"""Put the guest's runtime on sys.path, also if only this folder is tested."""

from tests.unit.guest import conftest  # noqa: F401  # for its effect
