"""Render user-data: values -> the text of the worker's file -> a script, cloud-config or MIME multi-part.

A value reaches the machine exactly as given, or BadInput is raised. The keys, their order, their kinds and
the format of the file come from the tables that the guest reads; each kind of worker has its own. The
rendered text is parsed back and compared before it is returned.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from bakery.runtime.data import CLOUD_INIT
from bakery.userdata import characters, guest
from bakery.userdata.delivery import multipart
from bakery.userdata.delivery.multipart import Part
from provisioner import did_you_mean
from provisioner.errors import BadInput, BakeryError

KINDS = ("osg", "prominence")
FORMS = ("script", "cloud-config", "mime", "conf")

_FIELDS = {
    "WorkerGroupName": "group_name",
    "Token": "token",
    "Start": "start",
    "CentralManager": "central_manager",
}
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_HOST = re.compile(
    r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<name>[^\[\]:?]+))(?::(?P<port>[0-9]{1,5}))?(?:\?sock=[A-Za-z0-9_.-]+)?"
)
_ACCOUNT = re.compile(r"[A-Za-z0-9._+-]+")
_LEXEME = re.compile(
    r"""(?sx)  "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | =\?= | =!= | [=<>!]= | // | /\* | ."""
)
_MISTAKES = {
    "//": "a comment, which hides the rest,",
    "/*": "a comment, which hides the rest,",
    '"': 'an unclosed "',
    "'": "an unclosed '",
    "\\": "a backslash outside of quotes",
    "=": "a single = (to compare, write == or =?=)",
    ";": "a ;, which ends the expression,",
}
_OPENER = {")": "(", "]": "[", "}": "{"}
_TEMPLATES = {"script": "script.sh.in", "cloud-config": "cloud-config.yaml.in"}
_PARTS = {kind: f"{kind}-worker.yaml" for kind in KINDS}
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_PLACEHOLDER = re.compile(r"@([a-z]+)@")
_HEREDOC = re.compile(r"(?ms)<<'([^'\n]+)'\n(.*?)^\1$")


@dataclass(frozen=True)
class Key:
    """One row of keys.json.

    `setting` is the meaning of the key, the same for all kinds of worker; `variable` stands for the key in
    a container.
    """

    key: str
    kind: str
    required: bool
    default: str
    help: str
    setting: str
    instead_of: str = ""
    advertise: str = ""
    start: str = ""
    variable: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkerConf:
    """The values of the worker's file; an empty one keeps the default of the image.

    `settings` has the settings without a field here, each with the text of its key.
    Raises BadInput for a value that the file cannot carry, for a missing token, and for several.
    """

    kind: str = "osg"
    token: str = field(default="", repr=False)
    start: str = ""
    group_name: str = ""
    central_manager: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_settings(self)
        given = _values(self)
        for key in worker_keys(self.kind):
            present = [name for name in (key.key, *_instead_of(self.kind, key)) if given[name]]
            if len(present) > 1:
                raise BadInput(f"Only one of {', '.join(present)} can be set.", "Omit the others.")
            if given[key.key] or (key.required and not present):
                check_value(key, given[key.key])


def check_value(key: Key, value: str) -> None:
    """Raise BadInput for a value that the file cannot carry, or that the worker rejects."""
    _CHECKS.get(key.kind, check_text)(key.key, value)
    _check_with_guest(key, value)


@cache
def worker_keys(kind: str = "osg") -> tuple[Key, ...]:
    """Return the keys of a kind of worker, in the order of its file."""
    rows = json.loads(guest.table_file(kind).read_text("utf-8"))["keys"]
    return tuple(Key(**{"setting": row["key"], **row}) for row in rows)


@cache
def setting_keys(kind: str = "osg") -> tuple[str, ...]:
    """Return the settings of a kind of worker that are not fields of WorkerConf."""
    return tuple(key.setting for key in worker_keys(kind) if key.setting not in _FIELDS)


def key_of(kind: str, setting: str) -> Key | None:
    """Return the key of a setting; None if this kind of worker does not have it."""
    return next((key for key in worker_keys(kind) if key.setting == setting), None)


def conf_path(kind: str = "osg") -> str:
    """Return the path of the file on the worker."""
    return guest.kind_of(kind).file


def _check_settings(conf: WorkerConf) -> None:
    for name in conf.settings:
        if name not in setting_keys(conf.kind):
            known = ", ".join(setting_keys(conf.kind))
            hint = did_you_mean.hint([name], setting_keys(conf.kind), f"The settings are {known}.")
            raise BadInput(f"There is no setting {name}.", hint)
    for setting, name in _FIELDS.items():
        if getattr(conf, name) and key_of(conf.kind, setting) is None:
            raise BadInput(f"--worker {conf.kind} does not support {setting}.", "Omit it.")


def start_expression(
    *,
    projects: Sequence[str] = (),
    owners: Sequence[str] = (),
    conditions: Sequence[str] = (),
    anyone: bool = False,
) -> str:
    """Return a Start that accepts the jobs of any of the projects and owners that fulfil all conditions.

    Raises BadInput for an invalid name or condition, and if no jobs or contradictory ones are selected.
    """
    named = [f'TARGET.ProjectName == "{_account("project", name)}"' for name in projects]
    named += [f'TARGET.Owner == "{_account("owner", name)}"' for name in owners]
    for condition in conditions:
        # Check each alone: "A) || (B" is balanced only inside parentheses.
        check_expression("Start", condition)
    parts = ([" || ".join(named)] if named else []) + list(conditions)
    if anyone and not parts:
        return "True"
    if anyone or not parts:
        raise _wrong_selection(anyone)
    return parts[0] if len(parts) == 1 else " && ".join(f"({part})" for part in parts)


def shown_values(conf: WorkerConf) -> dict[str, str]:
    """Return the values of the file by their keys, without the token."""
    values = {key.key: _values(conf)[key.key] for key in worker_keys(conf.kind) if key.setting != "Token"}
    return {key: value for key, value in values.items() if value}


def conf_text(conf: WorkerConf) -> str:
    """Return the text of the file: one key per line, in the order of the table, without empty values."""
    present = ((key, value) for key, value in _values(conf).items() if value)
    if guest.kind_of(conf.kind).form == "environment":
        return "".join(f"{key}={quoted(value)}\n" for key, value in present)
    return "".join(f"{key} = {value}\n" for key, value in present)


def quoted(value: str) -> str:
    """Quote a value for the shell, systemd and the guest alike."""
    if _PLAIN.fullmatch(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'


def parse_conf(text: str, kind: str = "osg") -> dict[str, str]:
    """Return the values of the file as the guest reads them."""
    pairs = (line.partition("=") for line in text.split("\n") if line)
    return {key.strip(): guest.value_of(kind, value.strip()) for key, _, value in pairs}


def render(conf: WorkerConf, form: str, include: Sequence[Part] = ()) -> str:
    """Return user-data in one of FORMS that writes the file, owned by root and with mode 0600."""
    if form not in FORMS:
        hint = did_you_mean.hint([form], FORMS, f"The formats are {', '.join(FORMS)}.")
        raise BadInput(f"There is no format {form!r} of user-data.", hint)
    text = conf_text(conf)
    user_data = _format(conf, form, text, include)
    read = parse_conf(text, conf.kind)
    if extract_conf(user_data) != text or read != {k: v for k, v in _values(conf).items() if v}:
        raise BakeryError(
            f"The {form} would not carry the values exactly, so it was not written.",
            "Please report this with your options, but without the token.",
        )
    return user_data


def extract_conf(user_data: str) -> str:
    """Return the text of the file that this generated user-data writes; "" if it writes none."""
    if user_data.startswith("#!"):
        heredoc = _HEREDOC.search(user_data)
        return heredoc[2] if heredoc else ""
    if user_data.startswith("#cloud-config\n"):
        return _extract_from_cloud_config(user_data)
    if user_data.startswith("Content-Type: multipart/mixed;"):
        ours = [part for part in multipart.parts_of(user_data.encode()) if part.name in _PARTS.values()]
        return _extract_from_cloud_config(ours[-1].data.decode()) if ours else ""
    return user_data


def _extract_from_cloud_config(text: str) -> str:
    import yaml

    # libyaml, if available, is ten times as fast.
    files = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["write_files"]
    content = str(files[0]["content"])
    return base64.b64decode(content).decode() if "encoding" in files[0] else content


def delimiter(text: str) -> str:
    """Return a heredoc delimiter that is no line of the text."""
    lines, word = set(text.split("\n")), "EOF"
    while word in lines:
        word += "_"
    return word


def parse_token_file(data: bytes) -> str:
    """Return the token of a token file of HTCondor; "" if there is none.

    Blank lines and # comments are allowed. Raises BadInput for several tokens.
    """
    lines = (line.strip() for line in data.decode("utf-8-sig", "replace").splitlines())
    tokens = [line for line in lines if line and not line.startswith("#")]
    if len(tokens) > 1:
        raise BadInput(f"Found {len(tokens)} tokens; only one is supported.", "Keep one of them.")
    return tokens[0] if tokens else ""


def check_token(name: str, value: str) -> None:
    """Raise BadInput for an invalid token; the message does not contain it."""
    if not value:
        raise BadInput(f"The {name} is empty.", "Ask the administrators of the pool for a token.")
    wrong = re.search(r"""[^!-~]|["']""", value)
    if wrong:
        raise BadInput(
            f"The {name} has {characters.name(wrong[0])} at position {wrong.start() + 1} of {len(value)}.",
            "A token is one word of printable ASCII without quotes. Copy all of it, and nothing else.",
        )


def check_text(name: str, value: str) -> None:
    """Check for one line without control characters or surrounding white space, which a parser strips."""
    if not value:
        raise BadInput(f"{name} is empty.", "Set a value, or omit it.")
    for position, character in enumerate(value, start=1):
        if characters.breaks_line(character):
            raise BadInput(
                f"{name} has {characters.name(character)} at position {position}.",
                "Remove it: the value must be one line of text without control characters.",
            )
    if value != value.strip():
        raise BadInput(f"{name} begins or ends with white space: {value!r}.", "Remove it.")


def check_expression(name: str, value: str) -> None:
    """Check that quotes and brackets are balanced, so that the expression can stand in parentheses."""
    check_text(name, value)
    opened: list[str] = []
    for lexeme in _LEXEME.finditer(value):
        problem = _unbalanced(opened, lexeme[0]) or _misplaced(opened, lexeme[0])
        if problem:
            raise BadInput(f"{name} has {problem} at position {lexeme.start() + 1}: {value}")
    if opened:
        raise BadInput(f"{name} has an unclosed {opened[-1]}: {value}")


def check_hosts(name: str, value: str) -> None:
    """Check one address, or several separated by commas."""
    for one in value.split(","):
        check_host(name, one.strip(" "))


def check_host(name: str, value: str) -> None:
    """Check one address: HOST, HOST:PORT, or one of a shared port (HOST:PORT?sock=NAME)."""
    match = _HOST.fullmatch(value)
    port = int(match["port"]) if match and match["port"] else 1
    if not match or not (_is_ipv6(match["ipv6"]) if match["ipv6"] else _is_host(match["name"])):
        raise BadInput(
            f"{name} is not a host address: {value!r}.",
            characters.removal(value)
            or "Use HOST or HOST:PORT, separated by commas; put an IPv6 address in brackets: "
            "[2001:db8::1]:9618.",
        )
    if not 1 <= port <= 65535:
        raise BadInput(f"{name}: {port} is not a valid port.", "Use a port from 1 to 65535.")


# What the file can carry; the worker's own checks follow. Any other kind must be one line of text.
_CHECKS: Mapping[str, Callable[[str, str], None]] = {
    "token": check_token,
    "expression": check_expression,
    "hosts": check_hosts,
}


def _values(conf: WorkerConf) -> dict[str, str]:
    given = {setting: getattr(conf, name) for setting, name in _FIELDS.items()} | dict(conf.settings)
    return {key.key: given.get(key.setting, "") for key in worker_keys(conf.kind)}


@cache
def _instead_of(kind: str, key: Key) -> tuple[str, ...]:
    """Return the keys that can replace this one."""
    return tuple(other.key for other in worker_keys(kind) if other.instead_of == key.key)


def _format(conf: WorkerConf, form: str, text: str, include: Sequence[Part]) -> str:
    if form == "conf":
        return text
    if form != "mime":
        return _fill(_TEMPLATES[form], text, conf)
    # Ours last: if both write the same file, ours wins.
    ours = _fill(_TEMPLATES["cloud-config"], text, conf).encode()
    return multipart.join([*include, Part("text/cloud-config", _PARTS[conf.kind], ours)])


def _fill(template: str, text: str, conf: WorkerConf) -> str:
    """Replace each `@name@` of the template; an `@name@` inside a value is not replaced."""
    values = {
        "warning": " This file contains a token: anyone who reads it can join the pool."
        if conf.token
        else "",
        "path": conf_path(conf.kind),
        "conf": text,
        "delimiter": delimiter(text),
        "content": _yaml_content(text),
    }
    return _PLACEHOLDER.sub(lambda match: values[match[1]], _template(template))


def _yaml_content(text: str) -> str:
    """Return the content, in base64 unless it is ASCII: old versions of PyYAML differ in the rest."""
    if text.isascii():
        return "\n      ".join(("    content: |", *text.removesuffix("\n").split("\n")))
    return f"    encoding: b64\n    content: {base64.b64encode(text.encode()).decode()}"


@cache
def _template(name: str) -> str:
    return (CLOUD_INIT / "common" / name).read_text("utf-8")


def _check_with_guest(key: Key, value: str) -> None:
    """Check with the code of the worker: a worker with an invalid file idles, but costs money."""
    problem = guest.problem_with(key.kind, value)
    if problem:
        raise BadInput(f"{key.key} {problem}.", "The worker would reject it.")


def _account(what: str, name: str) -> str:
    if not _ACCOUNT.fullmatch(name):
        raise BadInput(
            f"{name!r} is not a valid {what} name: use letters, digits and . _ + - only.",
            characters.removal(name) or "Use --start for any other condition.",
        )
    return name


def _wrong_selection(anyone: bool) -> BadInput:
    if anyone:
        return BadInput(
            "--anyone cannot be combined with --project, --owner or --start.",
            "Omit --anyone, or the others.",
        )
    return BadInput(
        "No jobs are selected.",
        "Use --project TG-ABC123, --owner NAME or --start EXPR; --anyone accepts the jobs of all users.",
    )


def _unbalanced(opened: list[str], lexeme: str) -> str:
    """Track the open brackets in `opened`. Return what is wrong with this lexeme, or ""."""
    if lexeme in _OPENER.values():
        opened.append(lexeme)
    elif lexeme in _OPENER and (not opened or opened.pop() != _OPENER[lexeme]):
        return f"an unmatched {lexeme}"
    return ""


def _misplaced(opened: list[str], lexeme: str) -> str:
    """Return what is wrong with this lexeme, or "". A record may contain = and ;."""
    if lexeme in ("=", ";") and "[" in opened:
        return ""
    if characters.hidden(lexeme) and lexeme[0] not in "\"'":
        return f"{characters.name(lexeme)} outside of quotes"
    if not lexeme.isascii() and lexeme[0] not in "\"'":
        return f"a {lexeme} outside of quotes (a typographic quote?)"
    return _MISTAKES.get(lexeme, "")


def _is_host(name: str) -> bool:
    if not _NAME.fullmatch(name) or len(name) > 253:
        return False
    if not name.rpartition(".")[2].isdigit():
        return True
    try:
        return bool(ipaddress.IPv4Address(name))
    except ValueError:
        return False


def _is_ipv6(address: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(address)) and "%" not in address
    except ValueError:
        return False
