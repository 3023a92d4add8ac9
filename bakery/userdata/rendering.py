"""User-data for a worker: values -> the text of the worker's file -> a script or cloud-config.

A value arrives on the machine exactly as given or is refused with BadInput. The keys, their order
and their kinds come from the table that the guest's parser reads too, one for each kind of worker, and
so does the form of the file; whatever is rendered is
parsed back and compared before anybody sees it.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from bakery.runtime.data import CLOUD_INIT
from bakery.userdata import guest
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
    "//": "a comment, which would hide what follows,",
    "/*": "a comment, which would hide what follows,",
    '"': 'a " that is never closed',
    "'": "a ' that is never closed",
    "\\": "a backslash outside of quotes",
    "=": "a single = (to compare, write == or =?=)",
    ";": "a ; that would cut off the rest",
}
_OPENER = {")": "(", "]": "[", "}": "{"}
_TEMPLATES = {"script": "script.sh.in", "cloud-config": "cloud-config.yaml.in"}
_PARTS = {kind: f"{kind}-worker.yaml" for kind in KINDS}
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_PLACE = re.compile(r"@([a-z]+)@")
_HEREDOC = re.compile(r"(?ms)<<'([^'\n]+)'\n(.*?)^\1$")


@dataclass(frozen=True)
class Key:
    """One line of the table of keys; `setting` is what it means, whatever a kind of worker calls it."""

    key: str
    kind: str
    required: bool
    default: str
    help: str
    setting: str
    instead_of: str = ""
    advertise: str = ""
    start: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkerConf:
    """What the worker's file says; what is empty stays the image's own default.

    `settings` are those of the table that have no field here, each with the value of its key.
    Raises BadInput for a value that cannot be carried, and for no token or more than one.
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
            said = [name for name in (key.key, *_instead_of(self.kind, key)) if given[name]]
            if len(said) > 1:
                raise BadInput(f"Only one of {', '.join(said)} can be given.", "Leave the others away.")
            if given[key.key] or (key.required and not said):
                _CHECKS.get(key.kind, check_text)(key.key, given[key.key])
                _check_as_the_guest(key, given[key.key])


@cache
def worker_keys(kind: str = "osg") -> tuple[Key, ...]:
    rows = json.loads(guest.table_file(kind).read_text("utf-8"))["keys"]
    return tuple(Key(**{"setting": row["key"], **row}) for row in rows)


@cache
def setting_keys(kind: str = "osg") -> tuple[str, ...]:
    """The settings of a kind of worker that WorkerConf has not as fields."""
    return tuple(key.setting for key in worker_keys(kind) if key.setting not in _FIELDS)


def key_of(kind: str, setting: str) -> Key | None:
    """By which this kind of worker is told it, if there is one."""
    return next((key for key in worker_keys(kind) if key.setting == setting), None)


def conf_path(kind: str = "osg") -> str:
    """Where the file stands on the worker."""
    return guest.kind_of(kind).file


def _check_settings(conf: WorkerConf) -> None:
    for name in conf.settings:
        if name not in setting_keys(conf.kind):
            known = ", ".join(setting_keys(conf.kind))
            hint = did_you_mean.hint([name], setting_keys(conf.kind), f"There are {known}.")
            raise BadInput(f"There is no setting {name}.", hint)
    for setting, name in _FIELDS.items():
        if getattr(conf, name) and key_of(conf.kind, setting) is None:
            raise BadInput(f"A worker of the kind {conf.kind} has no {setting}.", "Leave it away.")


def start_expression(
    *,
    projects: Sequence[str] = (),
    owners: Sequence[str] = (),
    conditions: Sequence[str] = (),
    anyone: bool = False,
) -> str:
    """Jobs of any of the projects or owners, as far as every condition holds."""
    named = [f'TARGET.ProjectName == "{_account("a project", name)}"' for name in projects]
    named += [f'TARGET.Owner == "{_account("an owner", name)}"' for name in owners]
    for condition in conditions:
        # One by one: "A) || (B" is balanced once it stands in parentheses.
        check_expression("Start", condition)
    parts = ([" || ".join(named)] if named else []) + list(conditions)
    if anyone and not parts:
        return "True"
    if anyone or not parts:
        raise _whose_jobs(anyone)
    return parts[0] if len(parts) == 1 else " && ".join(f"({part})" for part in parts)


def conf_text(conf: WorkerConf) -> str:
    """The file: one key per line, in the order of the table, only what is set."""
    said = ((key, value) for key, value in _values(conf).items() if value)
    if guest.kind_of(conf.kind).form == "environment":
        return "".join(f"{key}={quoted(value)}\n" for key, value in said)
    return "".join(f"{key} = {value}\n" for key, value in said)


def quoted(value: str) -> str:
    """As a shell, systemd and the guest all read it."""
    if _PLAIN.fullmatch(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'


def parse_conf(text: str, kind: str = "osg") -> dict[str, str]:
    """The file's values as the guest reads them."""
    pairs = (line.partition("=") for line in text.split("\n") if line)
    return {key.strip(): guest.value_of(kind, value.strip()) for key, _, value in pairs}


def render(conf: WorkerConf, form: str, include: Sequence[Part] = ()) -> str:
    """User-data of one of FORMS that writes the file, 0600 and owned by root."""
    if form not in FORMS:
        hint = did_you_mean.hint([form], FORMS, f"Use {', '.join(FORMS)}.")
        raise BadInput(f"There is no form {form!r} of user-data.", hint)
    text = conf_text(conf)
    made = _formed(conf, form, text, include)
    read = parse_conf(text, conf.kind)
    if carried(made) != text or read != {k: v for k, v in _values(conf).items() if v}:
        raise BakeryError(
            f"The {form} would not carry the values exactly, so it is not shown.",
            "Please report this with the options you gave, but without the token.",
        )
    return made


def carried(user_data: str) -> str:
    """The text of the file that this user-data, made here, writes; empty if it writes none."""
    if user_data.startswith("#!"):
        heredoc = _HEREDOC.search(user_data)
        return heredoc[2] if heredoc else ""
    if user_data.startswith("#cloud-config\n"):
        return _carried_by_cloud_config(user_data)
    if user_data.startswith("Content-Type: multipart/mixed;"):
        ours = [part for part in multipart.parts_of(user_data.encode()) if part.name in _PARTS.values()]
        return _carried_by_cloud_config(ours[-1].data.decode()) if ours else ""
    return user_data


def _carried_by_cloud_config(text: str) -> str:
    import yaml

    # libyaml, where it is, is ten times as fast.
    files = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["write_files"]
    content = str(files[0]["content"])
    return base64.b64decode(content).decode() if "encoding" in files[0] else content


def delimiter(text: str) -> str:
    """A word that ends a heredoc and is no line of the text."""
    lines, word = set(text.split("\n")), "EOF"
    while word in lines:
        word += "_"
    return word


def token_of(data: bytes) -> str:
    """The one token of a token file as HTCondor has them: blank lines and # comments allowed."""
    lines = (line.strip() for line in data.decode("utf-8-sig", "replace").splitlines())
    tokens = [line for line in lines if line and not line.startswith("#")]
    if len(tokens) > 1:
        raise BadInput(f"There are {len(tokens)} tokens where one is wanted.", "Give one.")
    return tokens[0] if tokens else ""


def check_token(name: str, value: str) -> None:
    """Never shows the value."""
    if not value:
        raise BadInput(f"The {name} is empty.", "Ask the staff of the pool for a token.")
    wrong = re.search(r"""[^!-~]|["']""", value)
    if wrong:
        raise BadInput(
            f"The {name} has {_called(wrong[0])} at position {wrong.start() + 1} of {len(value)}.",
            "A token is one word of printable ASCII without quotes; copy it again, whole and alone.",
        )


def check_text(name: str, value: str) -> None:
    """One line without control characters, and without blanks that a parser would strip."""
    if not value:
        raise BadInput(f"{name} is empty.", "Give it a value or leave it away.")
    for position, character in enumerate(value, start=1):
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise BadInput(
                f"{name} has {_called(character)} at position {position}.",
                "It must be one line of text without control characters.",
            )
    if value != value.strip():
        raise BadInput(f"{name} begins or ends with a blank: {value!r}.", "Remove it.")


def check_expression(name: str, value: str) -> None:
    """A line whose quotes and brackets close, so that it stays whole inside parentheses."""
    check_text(name, value)
    opened: list[str] = []
    for lexeme in _LEXEME.finditer(value):
        problem = _unbalanced(opened, lexeme[0]) or _misplaced(opened, lexeme[0])
        if problem:
            raise BadInput(f"{name} has {problem} at position {lexeme.start() + 1}: {value}")
    if opened:
        raise BadInput(f"{name} has a {opened[-1]} that is never closed: {value}")


def check_hosts(name: str, value: str) -> None:
    """One address of a machine, or several with commas."""
    for one in value.split(","):
        check_host(name, one.strip(" "))


def check_host(name: str, value: str) -> None:
    match = _HOST.fullmatch(value)
    port = int(match["port"]) if match and match["port"] else 1
    if not match or not (_is_ipv6(match["ipv6"]) if match["ipv6"] else _is_host(match["name"])):
        raise BadInput(
            f"{name} is not the address of a machine: {value!r}.",
            "Give HOST or HOST:PORT, several with commas; an IPv6 address goes into brackets: "
            "[2001:db8::1]:9618.",
        )
    if not 1 <= port <= 65535:
        raise BadInput(f"{name}: {port} is no port.", "Ports go from 1 to 65535.")


# Before the worker's own: what would not arrive exactly. Of any other kind, it has to be one line.
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
    """The keys that can stand for this one."""
    return tuple(other.key for other in worker_keys(kind) if other.instead_of == key.key)


def _formed(conf: WorkerConf, form: str, text: str, include: Sequence[Part]) -> str:
    if form == "conf":
        return text
    if form != "mime":
        return _fill(_TEMPLATES[form], text, conf)
    # Ours last: where both write the same file, ours stays.
    ours = _fill(_TEMPLATES["cloud-config"], text, conf).encode()
    return multipart.joined([*include, Part("text/cloud-config", _PARTS[conf.kind], ours)])


def _fill(template: str, text: str, conf: WorkerConf) -> str:
    """`@name@` in a template stands for a value; what a value holds stands for itself."""
    values = {
        "warning": " It holds a token: whoever reads it can join the pool." if conf.token else "",
        "path": conf_path(conf.kind),
        "conf": text,
        "delimiter": delimiter(text),
        "content": _yaml_content(text),
    }
    return _PLACE.sub(lambda place: values[place[1]], _template(template))


def _yaml_content(text: str) -> str:
    """Beyond ASCII, old versions of PyYAML differ in what they read: base64."""
    if text.isascii():
        return "\n      ".join(("    content: |", *text.removesuffix("\n").split("\n")))
    return f"    encoding: b64\n    content: {base64.b64encode(text.encode()).decode()}"


@cache
def _template(name: str) -> str:
    return (CLOUD_INIT / "common" / name).read_text("utf-8")


def _check_as_the_guest(key: Key, value: str) -> None:
    """The worker has the last word: what it refuses would leave a machine that is paid for idle."""
    problem = guest.problem_with(key.kind, value)
    if problem:
        raise BadInput(f"{key.key} {problem}.", "The worker would refuse it.")


def _account(what: str, name: str) -> str:
    if not _ACCOUNT.fullmatch(name):
        raise BadInput(
            f"{name!r} is not the name of {what}: it may hold letters, digits and . _ + - only.",
            "Anything else can be said with --start.",
        )
    return name


def _whose_jobs(anyone: bool) -> BadInput:
    if anyone:
        return BadInput(
            "Anyone's jobs, or only some?",
            "Leave away --anyone, or --project, --owner and --start.",
        )
    return BadInput(
        "Whose jobs is the worker to run?",
        "Give --project TG-ABC123, --owner NAME or --start EXPR; --anyone if it is to run all.",
    )


def _unbalanced(opened: list[str], lexeme: str) -> str:
    """Keep account of the brackets that are open; what is wrong with this one, if anything."""
    if lexeme in _OPENER.values():
        opened.append(lexeme)
    elif lexeme in _OPENER and (not opened or opened.pop() != _OPENER[lexeme]):
        return f"a {lexeme} that closes nothing"
    return ""


def _misplaced(opened: list[str], lexeme: str) -> str:
    """What is wrong with this piece between strings, if anything; records may have = and ;."""
    if lexeme in ("=", ";") and "[" in opened:
        return ""
    if not lexeme.isascii() and lexeme[0] not in "\"'":
        return f"a {lexeme} outside of quotes (typographic quotes?)"
    return _MISTAKES.get(lexeme, "")


def _called(character: str) -> str:
    """The name of a character that had better not be shown."""
    known = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", " ": "a blank"}
    return known.get(character, f"the character U+{ord(character):04X}")


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
