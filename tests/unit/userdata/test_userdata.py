"""Every value is rendered exactly as given, or rejected."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bakery.userdata import rendering
from bakery.userdata.delivery import multipart
from bakery.userdata.rendering import (
    WorkerConf,
    check_host,
    check_hosts,
    parse_conf,
    render,
    start_expression,
)
from provisioner.errors import BadInput, BakeryError

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "userdata"
SEED = WorkerConf(
    token="aaabbb...",
    start='TARGET.ProjectName == "TG-NNNNNN"',
    group_name="My Test Workers",
)
# A valid value for each setting.
SETTINGS = {
    "TokenFile": "/etc/a token of 'mine'",
    "TokenCommand": "/usr/bin/vault read -field 'my token'",
    "GpuJobsOnly": "no",
    "CCBAddress": "ccb-1.example.org:9618?sock=collector1-10,ccb-2.example.org",
    "TrustDomain": "pool.example.org",
    "SiteName": "My Site",
    "ResourceName": "my-resource",
    "Country": "US",
    "PoolGuards": "no",
    "ConfigurationTimeout": "60",
    "JoinTimeout": "0",
    "IdleTimeout": "1200",
    "MaxLifetime": "172800",
    "DrainTimeout": "600",
    "WatchdogTimeout": "31622400",
    "OnIdle": "stop",
    "ServerCredential": "eyJhdXRoX3VybCI6ICJodHRwczovL2tleXN0b25lIn0=",
    "ServerCredentialCommand": "/usr/bin/vault read server",
    "LoginGrace": "0",
    "MetadataGuard": "no",
    "ExecuteDisk": "no",
}
INSTEAD = ("TokenFile", "TokenCommand", "ServerCredentialCommand")
LIFE = {key: value for key, value in SETTINGS.items() if key not in INSTEAD}
FULL = replace(SEED, central_manager="cm.example.org:9618", settings=dict(reversed(LIFE.items())))
CANARY = "canary5Af9"

HOSTILE = [
    'a "quoted" name',
    "it's",
    "$(touch /tmp/x)",
    "`touch /tmp/x`",
    "$HOME ${HOME} $ENV(PATH) $(SECRET)",
    "EOF",
    "EOF_",
    "\\",
    "a\\nb\\",
    "50 % %s %%",
    "{{ 7 * 7 }} {% raw %} {# x #}",
    "# no comment",
    "a # b",
    "- x",
    "-x",
    "= x = y",
    "key: value",
    "'0600'",
    "|",
    "&anchor *alias !!python/object:x",
    "---",
    "x  y",
    "## template: jinja",
    "é ü 漢字",
    "🐿",
    "\ufeffbom\ufeff",
    "soft\u00adhyphen\u200bzero",
    "null",
    "~" * 4000,
]
ONE_LINE_ONLY = ["a\nb", "a\r", "\x00", "a\tb", "a\x1bb", "a\x85b", "a\u2028b", "a\u2029b", "\udce9"]


@pytest.mark.parametrize("form", rendering.FORMS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_group_name_is_rendered_exactly(name: str, form: str) -> None:
    conf = replace(SEED, group_name=name)
    text = rendering.extract_conf(render(conf, form))
    assert text == rendering.conf_text(conf)
    assert parse_conf(text) == {"WorkerGroupName": name, "Token": conf.token, "Start": conf.start}


@pytest.mark.parametrize("form", rendering.FORMS)
@pytest.mark.parametrize("text", [t for t in HOSTILE if "\\" not in t])
def test_a_start_is_rendered_exactly(text: str, form: str) -> None:
    start = 'TARGET.X == "{}" && \'a b\' != "$(Y)"'.format(text.replace('"', '\\"'))
    made = render(replace(SEED, start=start), form)
    assert parse_conf(rendering.extract_conf(made))["Start"] == start


@pytest.mark.parametrize("name", [*ONE_LINE_ONLY, " a", "a ", "\u00a0a", "a\u3000"])
def test_a_group_name_that_the_file_cannot_carry_is_rejected(name: str) -> None:
    with pytest.raises(BadInput, match="WorkerGroupName"):
        replace(SEED, group_name=name)


@pytest.mark.parametrize("start", ["", " ", "True\\", *ONE_LINE_ONLY, "True\nToken = x"])
def test_a_start_that_the_file_cannot_carry_is_rejected(start: str) -> None:
    with pytest.raises(BadInput, match="Start"):
        replace(SEED, start=start)


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("A) || (B", r"an unmatched \) at position 2"),
        ("(A || B", r"an unclosed \("),
        ("(A]", r"an unmatched \]"),
        ('A == "b', 'an unclosed " at position 6'),
        ('A == "b\\"', 'an unclosed "'),
        ("A == 'b", "an unclosed '"),
        ('TARGET.ProjectName = "TG-A"', "a single = .* at position 20"),
        ("A == \u201cb\u201d", "a \u201c outside of quotes"),
        ("A == \\b", "a backslash outside of quotes"),
        ("A == 1 // x", "a comment"),
        ("A == /* x */ 1", "a comment"),
        ("True; Foo", "a ;, which ends the expression"),
    ],
)
def test_an_unbalanced_start_is_rejected(start: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        replace(SEED, start=start)


@pytest.mark.parametrize(
    "start", ['A == ") // ; \\" ("', "[a = 1; b = 2].a == {1, 2}[0]", "('a)' =?= 1) || (x)"]
)
def test_brackets_in_strings_and_records_are_accepted(start: str) -> None:
    assert replace(SEED, start=start).start == start


@pytest.mark.parametrize(
    "token",
    [
        f"{CANARY}\n",
        f" {CANARY}",
        f"{CANARY} x",
        f"{CANARY}\x00",
        f"{CANARY}é",
        "\x7f" + CANARY,
        f'"{CANARY}"',
    ],
)
def test_an_invalid_token_is_rejected_and_not_shown(token: str) -> None:
    with pytest.raises(BadInput, match=r"Token has .* at position") as caught:
        replace(SEED, token=token)
    assert CANARY not in str(caught.value)


def test_an_empty_token_is_rejected() -> None:
    with pytest.raises(BadInput, match="Token is empty"):
        replace(SEED, token="")


def test_a_token_is_not_in_the_repr() -> None:
    assert CANARY not in repr(replace(SEED, token=CANARY))


@pytest.mark.parametrize(
    "host",
    ["cm", "cm-1.example.org", "cm.example.org:9618", "10.0.2.2", "10.0.2.2:1", "[::1]:65535",
     "[2001:db8::1]", "3com.example", "xn--e1afmkfd.example", "cm:9618?sock=collector1-10"],
)  # fmt: skip
def test_a_host(host: str) -> None:
    check_host("CentralManager", host)
    check_hosts("CentralManager", f"other, {host},third")


@pytest.mark.parametrize(
    "host",
    ["cm:", "cm:0", "cm:65536", "cm:x", "cm:9618:1", "::1", "[::1", "[cm]", "[fe80::1%eth0]",
     "10.0.2.256", "10.0.2", "-cm", "cm-", "cm..example", ".cm", "cm.", "a b",
     "cm?sock=", "cm?sock=a b", "cm?x=y", "cm,", "a,,b", "cm/x",
     "é.example", "$(X)", "a" * 64, "\u0661", "cm\n", "user@cm", "http://cm"],
)  # fmt: skip
def test_not_a_host(host: str) -> None:
    with pytest.raises(BadInput, match="CentralManager"):
        replace(SEED, central_manager=host)


@pytest.mark.parametrize("key", [key for key in SETTINGS if key.endswith(("Timeout", "Lifetime", "Grace"))])
@pytest.mark.parametrize("seconds", ["-60", f"{366 * 86400 + 1}", "1" * 20, "1.5", "\u0661", "60 ", "1\n"])
def test_not_a_time(key: str, seconds: str) -> None:
    with pytest.raises(BadInput, match=key):
        replace(SEED, settings={key: seconds})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("OnIdle", "reboot"),
        ("OnIdle", "Poweroff"),
        ("MetadataGuard", "true"),
        ("ExecuteDisk", "yes\n"),
        ("TokenFile", "token"),
        ("TokenFile", "/a\x00"),
        ("TokenFile", "/a "),
        ("TokenFile", "/\udce9"),
        ("TokenCommand", "vault read"),
        ("TokenCommand", "/bin/sh -c 'x"),
        ("TokenCommand", "/bin/sh\n-c"),
    ],
)
def test_a_setting_that_the_file_cannot_carry_is_rejected(key: str, value: str) -> None:
    token = "" if key.startswith("Token") else SEED.token
    with pytest.raises(BadInput, match=key):
        replace(SEED, token=token, settings={key: value})


@pytest.mark.parametrize("form", rendering.FORMS)
@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_is_rendered_exactly(key: str, form: str) -> None:
    conf = replace(SEED, token="" if key.startswith("Token") else "t", settings={key: SETTINGS[key]})
    made = render(conf, form)
    assert parse_conf(rendering.extract_conf(made))[key] == SETTINGS[key]
    assert ("contains a token" in made) == (bool(conf.token) and form != "conf")


@pytest.mark.parametrize("name", ["Token", "Start", "onidle", "Reboot", "On\nIdle", ""])
def test_an_unknown_setting_is_rejected(name: str) -> None:
    with pytest.raises(BadInput, match="There is no setting"):
        replace(SEED, settings={name: "1"})


def test_several_tokens_are_rejected() -> None:
    file, command = ({key: SETTINGS[key]} for key in ("TokenFile", "TokenCommand"))
    for settings in (file, command):
        assert replace(SEED, token="", settings=settings).settings == settings
        with pytest.raises(BadInput, match=r"Only one of Token, Token\w+ can"):
            replace(SEED, settings=settings)
    with pytest.raises(BadInput, match="Only one of TokenFile, TokenCommand can"):
        replace(SEED, token="", settings=file | command)


def test_start_of_one_project_is_the_documented_line() -> None:
    assert start_expression(projects=["TG-NNNNNN"]) == 'TARGET.ProjectName == "TG-NNNNNN"'


def test_projects_and_owners_are_alternatives() -> None:
    assert start_expression(projects=["TG-A", "b.c_d+e"], owners=["alice"]) == (
        'TARGET.ProjectName == "TG-A" || TARGET.ProjectName == "b.c_d+e" || TARGET.Owner == "alice"'
    )


def test_conditions_are_combined_with_and() -> None:
    assert start_expression(projects=["A"], owners=["b"], conditions=["x || y", "z"]) == (
        '(TARGET.ProjectName == "A" || TARGET.Owner == "b") && (x || y) && (z)'
    )


def test_a_single_condition_is_not_changed() -> None:
    assert start_expression(conditions=["x || y"]) == "x || y"


def test_a_condition_cannot_break_out_of_its_parentheses() -> None:
    with pytest.raises(BadInput, match="an unmatched"):
        start_expression(projects=["A"], conditions=["x) || (True"])


def test_all_users_must_be_selected_explicitly() -> None:
    assert start_expression(anyone=True) == "True"
    with pytest.raises(BadInput, match="No jobs are selected"):
        start_expression()
    with pytest.raises(BadInput, match="--anyone cannot be combined with"):
        start_expression(anyone=True, projects=["A"])


@pytest.mark.parametrize("name", ["", 'A" || "', "a b", "a$", "é", "a\n", "a@b", "a'", "\u0661"])
def test_an_invalid_project_or_owner_name(name: str) -> None:
    with pytest.raises(BadInput, match="not a valid project name"):
        start_expression(projects=[name])
    with pytest.raises(BadInput, match="not a valid owner name"):
        start_expression(owners=[name])


@pytest.mark.parametrize("form", rendering.FORMS)
def test_golden(form: str) -> None:
    names = {"script": "full.sh", "cloud-config": "full.yaml", "mime": "full.mime", "conf": "full.conf"}
    golden = GOLDEN / names[form]
    assert render(FULL, form) == golden.read_text("utf-8")


def test_golden_beyond_ascii() -> None:
    made = render(replace(SEED, group_name="Équipe"), "cloud-config")
    assert made == (GOLDEN / "beyond-ascii.yaml").read_text("utf-8")


def test_the_file_has_the_keys_that_are_set_in_the_order_of_the_table() -> None:
    bare = WorkerConf(token="t", start="True", settings={"IdleTimeout": "60"})
    assert rendering.conf_text(bare) == "Token = t\nStart = True\nIdleTimeout = 60\n"
    table = [key.key for key in rendering.worker_keys() if not key.instead_of]
    assert list(parse_conf(rendering.conf_text(FULL))) == table
    assert SETTINGS.keys() == set(rendering.setting_keys())


def test_the_script_has_the_documented_lines() -> None:
    lines = render(SEED, "script").splitlines()
    assert lines[0] == "#!/bin/bash"
    at = lines.index("cat >/etc/osg-worker.conf.new <<'EOF'")
    assert lines[at + 1 :] == [
        "WorkerGroupName = My Test Workers",
        "Token = aaabbb...",
        'Start = TARGET.ProjectName == "TG-NNNNNN"',
        "EOF",
        "mv -fT /etc/osg-worker.conf.new /etc/osg-worker.conf",
    ]


def test_the_cloud_config_sets_owner_and_mode() -> None:
    made = render(replace(SEED, group_name="é"), "cloud-config")
    assert made.startswith("#cloud-config\n")
    (file,) = yaml.safe_load(made)["write_files"]
    assert (file["path"], file["owner"]) == ("/etc/osg-worker.conf", "root:root")
    assert (file["permissions"], file["encoding"]) == ("0600", "b64")
    assert base64.b64decode(file["content"]).startswith("WorkerGroupName = é\n".encode())


def test_the_delimiter_is_no_line_of_the_text() -> None:
    assert rendering.delimiter("a\nb\n") == "EOF"
    assert rendering.delimiter("a\nEOF\nEOF_\n") == "EOF__"


def test_user_data_that_differs_from_the_values_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "extract_conf", lambda _made: "something else")
    with pytest.raises(BakeryError, match="would not carry") as caught:
        render(replace(SEED, token=CANARY), "script")
    assert CANARY not in str(caught.value)


def test_an_unknown_format_is_rejected() -> None:
    with pytest.raises(BadInput, match="script, cloud-config, mime, conf"):
        render(SEED, "pdf")


@pytest.mark.parametrize("name", ["a$$b", "$(DOLLAR)", "a $(dollar) b"])
def test_a_value_that_the_worker_rejects_is_rejected(name: str) -> None:
    with pytest.raises(BadInput, match=r"WorkerGroupName contains .* The worker would reject it"):
        replace(SEED, group_name=name)
    with pytest.raises(BadInput, match=r"Start has a [$] outside of a quoted text"):
        replace(SEED, start="TARGET.X == $y")


def test_a_multi_part_begins_with_the_included_user_data() -> None:
    own = multipart.parse_include("dir/my own.sh", b"#!/bin/sh\necho hello\n")
    more = multipart.parse_include("x", "#cloud-config\npackages: [é]\n".encode())
    made = render(SEED, "mime", [*own, *more])
    parts = multipart.parts_of(made.encode())
    assert [(part.kind, part.name) for part in parts] == [
        ("text/x-shellscript", "my_own.sh"),
        ("text/cloud-config", "x"),
        ("text/cloud-config", "osg-worker.yaml"),
    ]
    assert [part.data for part in parts[:2]] == [own[0].data, more[0].data]
    assert [part.merge for part in parts] == ["", multipart.MERGE, multipart.MERGE]
    assert made == render(SEED, "mime", [*own, *more])


@pytest.mark.parametrize("data", [b"tok", b"tok\n", b"\xef\xbb\xbftok\r\n", b"# pool\n\n  tok  \n# end\n"])
def test_a_token_file(data: bytes) -> None:
    assert rendering.parse_token_file(data) == "tok"


def test_a_token_file_has_one_token() -> None:
    assert rendering.parse_token_file(b"# none\n") == ""
    with pytest.raises(BadInput, match="2 tokens") as caught:
        rendering.parse_token_file(f"{CANARY}\n{CANARY}\n".encode())
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("data", ["tok".encode("utf-16"), b"\xff\xfe", "tök".encode()])
def test_a_token_file_in_another_encoding_is_rejected(data: bytes) -> None:
    with pytest.raises(BadInput, match="Token has"):
        replace(SEED, token=rendering.parse_token_file(data))
