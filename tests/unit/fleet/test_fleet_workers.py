"""The workers of a launch: checked before the cloud is asked, found again in their pool, of either kind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bakery.commands.command_line.settings import NO_SETTINGS
from bakery.commands.fleet import command, workers
from bakery.commands.fleet.launch import Result
from bakery.fleet import marks, plan, pool, preparing
from bakery.fleet.marks import Mark
from bakery.fleet.plan import Plan
from bakery.tokens import signing
from bakery.userdata.rendering import WorkerConf
from provisioner.errors import BadInput, Unreachable
from tests.unit.fleet.test_fleet_plan import FLAVOR, IMAGE

# openstacksdk warns of its own optional dependency.
pytestmark = pytest.mark.filterwarnings("ignore:Support for InfluxDB", "ignore:.*statsd")
NOW = 1_800_000_000
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=30)
PLACE = ("--worker", "prominence", "--node-group", "ours")
# Nothing listens there: what is refused before the cloud is asked is refused without it.
CLOUD = {
    "auth": {"auth_url": "http://127.0.0.1:9/v3", "username": "u", "password": "p", "project_name": "p"}
}


@pytest.fixture
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "clouds.yaml"
    file.write_text(
        yaml.safe_dump({"clouds": {"site": {**CLOUD, "region_name": "RegionOne"}, "bare": CLOUD}})
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    monkeypatch.delenv("WORKER_TOKEN", raising=False)
    return file


def token(folder: Path, lifetime: int = 86400) -> Path:
    file = folder / "token"
    scopes = ("ADVERTISE_STARTD", "ADVERTISE_MASTER")
    file.write_text(
        signing.mint(
            b"key of the pool", "POOL", issuer="cm.example.org", subject="worker@cloud", scopes=scopes,
            now=int(time.time()), lifetime=lifetime,
        )
    )  # fmt: skip
    file.chmod(0o600)
    return file


def launch(*more: str, cloud: str = "site") -> int:
    argv = (
        "launch",
        "--cloud",
        cloud,
        "--image",
        "i",
        "--flavor",
        "f",
        "--count",
        "2",
        "--pool",
        "cm.example.org",
    )
    return command.main([*argv, *more])


@given(TEXT, TEXT, TEXT)
def test_the_marks_of_a_worker_of_prominence_are_read_back(group: str, cloud: str, region: str) -> None:
    mark = Mark("0a1b2c3d4e5f", group, "cm.example.edu", cloud=cloud, region=region)
    assert marks.of(mark.tags, mark.metadata) == mark
    assert all(value.isascii() for value in mark.metadata.values())
    asked = dict(pool.selection_of(mark).wanted)
    assert asked == {"ProminenceCloud": cloud, "ProminenceRegion": region, "ProminenceNodeGroup": group}
    osg = Mark("0a1b2c3d4e5f", group, "cm.example.edu")
    assert marks.of(osg.tags, osg.metadata) == osg
    assert pool.selection_of(osg).wanted == (("WorkerGroupName", group),)


def test_a_worker_of_prominence_is_watched_by_its_place() -> None:
    settings = {"Cloud": "my cloud", "Region": "r1", "NodeGroup": "ours"}
    conf = WorkerConf(kind="prominence", token="", central_manager="cm.example.edu",
                      settings={**settings, "TokenFile": "/etc/t"})  # fmt: skip
    mark = preparing.mark_of("0a1b2c3d4e5f", conf)
    assert (mark.group, mark.cloud, mark.region, mark.join) == ("ours", "my cloud", "r1", 0)
    made = Plan(mark, marks.names(mark.group, mark.launch, 1), IMAGE, FLAVOR, "net", b"")
    watch = Result(made, None, "site")._commands()["Watch"]
    place = "--cloud 'my cloud' --region r1 --node-group ours"
    assert watch == f"worker-bakery status --pool cm.example.edu {place} --watch"


def test_what_is_too_long_is_named_by_its_option() -> None:
    for mark, flag in (
        (Mark("0a1b2c3d4e5f", "é" * 50, "p", cloud="c", region="r"), "--node-group"),
        (Mark("0a1b2c3d4e5f", "g", "p", cloud="é" * 50, region="r"), "--worker-cloud"),
        (Mark("0a1b2c3d4e5f", "g", "p", cloud="c", region="é" * 50), "--region"),
    ):
        with pytest.raises(BadInput, match=f"{flag} is too long"):
            plan.check_metadata(mark)


# --- before the cloud is asked -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--project", "TG-ABC123"), "A token is required"),
        (("--project", "TG-ABC123", "--token-file", "/nowhere"), "/nowhere"),
        (("--anyone", "--token-file", "TOKEN", "--spread", "48h"), "before the last server starts"),
        (("--anyone", "--token-file", "TOKEN", "--max-hours", "100"), "before the maximum lifetime"),
        (("--token-file", "TOKEN"), "--project"),
        ((*PLACE, "--token-file", "TOKEN", "--project", "TG-ABC123"), "does not support --project"),
        (("--worker", "prominence", "--token-file", "TOKEN"), "requires --node-group"),
        (("--region", "r", "--anyone", "--token-file", "TOKEN"), "requires --worker prominence"),
    ],
)
def test_token_and_user_data_are_checked_without_the_cloud(
    more: tuple[str, ...], says: str, clouds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signed = token(tmp_path)
    assert launch(*(str(signed) if word == "TOKEN" else word for word in more)) == 2
    said = capsys.readouterr().err
    assert says in said and signed.read_text() not in said


def test_an_expired_token_is_refused_without_the_cloud(
    clouds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("--anyone", "--token-file", str(token(tmp_path, -60))) == 2
    assert "The token expired on" in capsys.readouterr().err


def test_what_is_right_asks_the_cloud(
    clouds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a worker of PROMINENCE, the region is that of clouds.yaml, if it has one."""

    def connected(name: str) -> None:
        raise Unreachable(f"The cloud {name} is asked.")

    monkeypatch.setattr("bakery.openstack.cloud.connected", connected)
    signed = str(token(tmp_path))
    for more in (("--anyone", "--token-file", signed), (*PLACE, "--token-file", signed)):
        assert launch(*more) == Unreachable.exit_code
        assert "The cloud site is asked" in capsys.readouterr().err
    assert launch(*PLACE, "--token-file", signed, cloud="bare") == 2
    assert "requires --region" in capsys.readouterr().err


def test_a_worker_is_checked_again(clouds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each launch of a replacement: the token may have ended since the last one."""
    argv = ("launch", "--cloud", "site", "--image", "i", "--flavor", "f", "--count", "2", "--anyone",
            "--pool", "cm.example.org", "--token-file", str(token(tmp_path)))  # fmt: skip
    options = command.parser("fleet").parse_args(argv)
    made = workers.generated(options, workers.asked_for(options, NO_SETTINGS))
    again = made.again()
    assert again.made.conf == made.made.conf and again.launch != made.launch
    monkeypatch.setattr("time.time", lambda: NOW * 2.0)
    with pytest.raises(BadInput, match="expired on"):
        made.again()
