"""The configuration file and the variables WORKER_BAKERY_*: precedence, mistakes, and what they change."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from bakery.commands import bake_options, config, userdata_options
from bakery.commands import userdata as userdata_command
from bakery.commands.command_line import settings
from bakery.commands.command_line.settings import NO_SETTINGS, Setting, Settings
from provisioner.errors import BadInput

PATH = "/home/me/config.toml"
TOKEN = ".".join(
    base64.urlsafe_b64encode(text).decode().rstrip("=")
    for text in (b'{"alg":"HS256"}', b'{"sub":"worker@example"}', b"signature-of-it")
)
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting of whoever runs the tests; the path of the file that a command reads."""
    for variable in settings.VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    (tmp_path / "worker-bakery").mkdir()
    return tmp_path / "worker-bakery" / "config.toml"


ALL = """
pool = "campus.example.edu"
trust-domain = "campus.example.edu"
mirror = "http://mirror.example.edu/debian"
cache = "/var/cache/bakery"
cloud = "openstack"
refresh = "never"
snapshot-mirror = "http://snapshot.example.edu/{archive}/{timestamp}"
"""


def test_every_key_is_read() -> None:
    found = settings.merged(settings.parse(ALL, PATH), {}, PATH)
    assert [setting.source for setting in found] == [PATH] * len(settings.KEYS)
    assert (found.pool.value, found.trust_domain.value) == ("campus.example.edu",) * 2
    assert (found.cache.value, found.cloud.value) == ("/var/cache/bakery", "openstack")
    assert settings.merged({}, {}, PATH) == NO_SETTINGS


def test_a_variable_takes_precedence_over_the_file_and_an_empty_one_counts_as_not_set() -> None:
    environ = {"WORKER_BAKERY_POOL": "ospool", "WORKER_BAKERY_CLOUD": "", "WORKER_BAKERY_CACHE": "here"}
    found = settings.merged(settings.parse(ALL, PATH), environ, PATH)
    assert found.pool == Setting("ospool", "WORKER_BAKERY_POOL")
    assert found.cloud == Setting("openstack", PATH)
    assert found.cache == Setting("here", "WORKER_BAKERY_CACHE")


def test_an_option_takes_precedence_over_both() -> None:
    given = Settings(mirror=Setting("http://a/debian", PATH))
    parse = bake_options.parser(settings=given).parse_args
    assert bake_options.options(parse([]), given).mirror == "http://a/debian"
    assert bake_options.options(parse(["--mirror", "http://b"]), given).mirror == "http://b"
    assert bake_options.options(parse(["--mirror", ""]), given).mirror == ""


CAMPUS = Settings(
    pool=Setting("cm.campus.example", PATH),
    trust_domain=Setting("campus.example", PATH),
    cloud=Setting("ec2", "WORKER_BAKERY_CLOUD"),
)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], ("cm.campus.example", "campus.example", "ec2")),
        (["--pool", "cm.campus.example"], ("cm.campus.example", "campus.example", "ec2")),
        (["--cloud", "gce"], ("cm.campus.example", "campus.example", "gce")),
        (["--cloud", ""], ("cm.campus.example", "campus.example", None)),
        (["--trust-domain", "x"], ("cm.campus.example", "x", "ec2")),
        # The trust domain of one pool says nothing about another.
        (["--pool", "ospool"], ("ospool", "", "ec2")),
        (["--set", "TrustDomain=y"], ("cm.campus.example", "", "ec2")),
    ],
)
def test_the_defaults_of_user_data(argv: list[str], expected: tuple[str, str, str | None]) -> None:
    found = userdata_options.parsed(["--anyone", *argv], settings=CAMPUS)
    texts = found.asked.texts
    assert (texts.pool, texts.trust_domain, found.asked.cloud) == expected


def test_a_worker_of_prominence_is_in_the_cloud_that_is_set() -> None:
    given = Settings(cloud=Setting("nimbus", PATH))
    found = userdata_options.parsed(["--worker", "prominence"], settings=given)
    assert (found.asked.settings, found.asked.cloud) == ({"Cloud": "nimbus"}, None)
    with pytest.raises(BadInput, match=f"{PATH}: there is no cloud 'nimbus'"):
        userdata_options.parsed(["--anyone"], settings=given)


def test_help_shows_a_default_and_its_source() -> None:
    shown = " ".join(userdata_options.parser(settings=CAMPUS).format_help().split())
    assert f"(default: cm.campus.example, from {PATH})" in shown
    assert "(default: ec2, from WORKER_BAKERY_CLOUD)" in shown
    assert "(default: that of the image)" in " ".join(userdata_options.parser().format_help().split())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('pol = "x"', "there is no key 'pol'. Did you mean pool? The keys are pool, trust-domain"),
        ('trust_domain = "x"', "Did you mean trust-domain?"),
        ("pool = 3", "pool must be a string"),
        ('pool = ["a", "b"]', "pool must be a string"),
        ("[pool]\nname = 'x'", "pool must be a string"),
        ('pool = ""', "pool must be one word"),
        ('pool = "a b"', "pool must be one word"),
        ('mirror = "mirror.example.edu"', "mirror must be an http, https or file URL"),
        ('mirror = "http://me:secret@m/debian"', "mirror must not contain a user name or a password"),
        ('cache = "cache"', "cache must be an absolute path"),
        ("pool = ", "is not valid TOML"),
        (f'pool = "{TOKEN}"', "pool contains a token, which is not supported"),
        (f'"{TOKEN}" = "x"', "there is no key"),
        (f'note = ["{TOKEN}"]', "note contains a token"),
        ('token = "x"', "token contains a token, which is not supported"),
        ('worker_token = "x"', "contains a token"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(text: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        settings.parse(text, PATH)
    assert PATH in str(caught.value) and says in str(caught.value)
    assert "c2lnbmF0dXJl" not in str(caught.value), "the token itself is not repeated"


def test_a_mistake_in_a_variable_names_it() -> None:
    with pytest.raises(BadInput, match="WORKER_BAKERY_MIRROR must be an http"):
        settings.merged({}, {"WORKER_BAKERY_MIRROR": "x"}, PATH)
    with pytest.raises(BadInput, match="WORKER_BAKERY_POOL contains a token"):
        settings.merged({}, {"WORKER_BAKERY_POOL": TOKEN}, PATH)


def test_a_file_that_cannot_be_read(nothing_is_set: Path, capsys: Captured) -> None:
    nothing_is_set.write_bytes(b'pool = "\xff"')
    assert userdata_command.main(["--anyone"]) == BadInput.exit_code
    assert f"{nothing_is_set} is not UTF-8" in capsys.readouterr().err
    nothing_is_set.unlink()
    nothing_is_set.mkdir()
    assert userdata_command.main(["--anyone"]) == BadInput.exit_code
    assert f"Cannot read {nothing_is_set}: Is a directory" in capsys.readouterr().err


def test_toml_is_not_imported_without_a_file(nothing_is_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)  # an import of it fails
    assert settings.read(os.environ) == NO_SETTINGS
    nothing_is_set.write_text("")
    with pytest.raises(ImportError):
        settings.read(os.environ)


def test_the_home_of_the_user_holds_the_file() -> None:
    assert settings.location({"HOME": "/home/me"}) == Path("/home/me/.config/worker-bakery/config.toml")
    assert settings.location({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path(
        "/x/worker-bakery/config.toml"
    )


@pytest.mark.parametrize(("variable", "expected"), [(None, "/from/file"), ("", "/from/file"), ("/v", "/v")])
def test_the_cache_of_the_file_reaches_the_store(
    variable: str | None, expected: str, nothing_is_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bakery.store import store

    if variable is not None:
        monkeypatch.setenv("WORKER_BAKERY_CACHE", variable)
    else:  # so that what load() sets is undone
        monkeypatch.setenv("WORKER_BAKERY_CACHE", "x")
        monkeypatch.delenv("WORKER_BAKERY_CACHE")
    nothing_is_set.write_text('cache = "/from/file"')
    settings.load()
    assert str(store.default_root()) == expected


def test_config_shows_what_is_in_force(
    nothing_is_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    nothing_is_set.write_text('cloud = "ec2"\npool = "path-dev"\n')
    monkeypatch.setenv("WORKER_BAKERY_POOL", "ospool-itb")
    assert config.main(["--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["file"], shown["exists"]) == (str(nothing_is_set), True)
    assert shown["settings"]["pool"] == {"value": "ospool-itb", "source": "WORKER_BAKERY_POOL"}
    assert shown["settings"]["cloud"] == {"value": "ec2", "source": str(nothing_is_set)}
    assert shown["settings"]["mirror"]["source"].startswith("default")
    assert list(shown["settings"]) == list(settings.KEYS)
    assert config.main([]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == str(nothing_is_set)
    assert rows[0].split()[:2] == ["pool", "ospool-itb"]
    assert len(rows) == len(settings.KEYS)


@pytest.mark.parametrize("as_json", [False, True])
def test_config_fails_for_a_misspelled_pool_after_showing_the_settings(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("WORKER_BAKERY_POOL", "osppol")
    assert config.main(["--json"] if as_json else []) == 2
    said = capsys.readouterr()
    assert "There is no pool 'osppol'. Did you mean ospool?" in said.err.replace('", "hint": "', " ")
    if as_json:
        assert json.loads(said.out)["settings"]["pool"]["value"] == "osppol"
    else:
        assert len(said.out.splitlines()) == 1 + len(settings.KEYS)


@pytest.mark.parametrize(
    ("pool", "warns"), [("nope", True), ("cm.example.edu", False), ("nope:9618", False)]
)
def test_config_warns_of_a_pool_that_is_only_a_host_name(
    pool: str, warns: bool, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("WORKER_BAKERY_POOL", pool)
    assert config.main([]) == 0
    warning = "warning: WORKER_BAKERY_POOL: there is no pool 'nope'; it is used as the name of a host."
    assert (warning in capsys.readouterr().err) == warns


def test_user_data_is_written_for_the_pool_that_is_set(nothing_is_set: Path, capsys: Captured) -> None:
    nothing_is_set.write_text('pool = "cm.example.edu"\n')
    argv = ["--anyone", "--worker-token-file", "/run/token", "--format", "conf"]
    assert userdata_command.main(argv) == 0
    said = capsys.readouterr()
    assert "CentralManager = cm.example.edu\n" in said.out
    assert "Next: condor_status -pool cm.example.edu" in said.err
    assert userdata_command.main([*argv, "--pool", "cm.other.edu", "-q"]) == 0
    assert "CentralManager = cm.other.edu\n" in capsys.readouterr().out
