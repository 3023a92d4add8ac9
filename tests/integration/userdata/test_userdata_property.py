"""No value can break user-data: hostile values, drawn by Hypothesis, through the programs that run it.

Every form of every case is run for real in a worker's root: the script by its bash, the others by its
cloud-init. What then stands in /etc/osg-worker.conf is read by the worker's own parser, and what that
makes of it by its condor_config_val. Values arrive equal, or the generator refused and named the field;
nothing else on the file system changes.

    USERDATA_CASES=1000000 pytest tests/integration/userdata/test_userdata_property.py
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from bakery.fleet.self_deletion import credential
from bakery.userdata import guest, keys, rendering, request
from bakery.userdata.delivery import encodings, multipart
from bakery.userdata.delivery.encodings import Encoding
from bakery.userdata.delivery.multipart import Part
from bakery.userdata.rendering import WorkerConf
from bakery.userdata.request import Request
from provisioner.errors import BadInput
from provisioner.process.run import sandbox_argv

CASES = int(os.environ.get("USERDATA_CASES", "5000"))
ROUND = 5000  # Hypothesis remembers all cases of a round
SERVER = Path(__file__).parent.parent / "userdata_servers" / "cloud_init.py"
DEFAULTS = {key.key: key.default for key in rendering.worker_keys()}
Render = Callable[[WorkerConf, str, Sequence[Part]], str]
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl"
FIELDS = (
    "Token",
    "Start",
    "WorkerGroupName",
    "--group-name",
    "not a valid project name",
    *rendering.setting_keys(),
)
OWN = multipart.parse_include("own.yaml", b"#cloud-config\nwrite_files: []\nruncmd: [':']\n")

FRAGMENTS = [
    "'", '"', "`", "$", "\\", "\\\\", '\\"', "$(touch /ran)", "`touch /ran`", "${IFS}",
    "$((1/0))", "$HOME", "$(SECRET)", "$ENV(PATH)", "$$", "$(DOLLAR)", "$$(X)", "$INT(X)",
    "EOF", "EOF_", "\n", "\nEOF\n", "EOF\n", "\r", "\r\n", "\t", "\0", "\x1b[2J", "\x7f",
    "\x85", "\u2028", "\u00a0", "\ufeff", "\u200b", "\u202e", "é", "漢字", "🐿", "e\u0301",
    "{{ 7 * 7 }}", "{% raw %}", "{# x #}", "## template: jinja", "#cloud-config",
    "#!/bin/sh", "---", "...", "- x", "key: value", ": ", " #", "# ", "|", ">", "&a", "*a",
    "!!python/object:os.system", "'0600'", "null", "~", "yes", "%s", "%n", "<<'EOF'",
    "Token = x", "\nStart = True", "= ", " = ", "@=end", "\\\n",
    "include command : touch /ran", "--===", "Content-Type: text/x-shellscript", "!", ";",
    "&&", "||", "(", ")", "[", "]", "{", "}", "//", "/*", "=?=", "True", "False",
    "undefined", " ", "  ", "a", "0", "-",
]  # fmt: skip
# What a name may well hold, and what yet must not mean anything to any reader.
SPEAKABLE = [text for text in FRAGMENTS if text.isprintable() and not text.startswith(("$$", "$(DOLLAR"))]
PIECES = st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=6))
HOSTILE = st.one_of(
    st.lists(PIECES, min_size=1, max_size=8).map("".join),
    st.lists(st.sampled_from(SPEAKABLE), min_size=1, max_size=8).map("x".join).map(str.strip),
    st.lists(st.sampled_from(SPEAKABLE), min_size=2, max_size=3).map("".join).map(str.strip),
    st.lists(st.sampled_from(SPEAKABLE), min_size=9, max_size=30).map(" ".join).map(str.strip),
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12),
    st.tuples(PIECES, st.integers(1, 10_000)).map(lambda drawn: (drawn[0] * drawn[1])[:10_000]),
)
TOKENS = st.one_of(
    st.just(TOKEN), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), HOSTILE
)
PROJECTS = st.one_of(
    st.text("aZ0._+-", min_size=1, max_size=20), HOSTILE, st.text("aZ0._+-", min_size=1).map("TG-".__add__)
)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


STARTS = st.one_of(
    st.just("TARGET.RequestCpus < 9"),
    HOSTILE.map(lambda text: f"TARGET.Owner == {quoted(text)}"),
    HOSTILE.map(lambda text: f'TARGET.Owner == "{text}"'),
    HOSTILE,
)


# Good ones of each kind, and any text at all in the place of as many.
SECONDS = st.one_of(st.just(0), st.integers(1, 366 * 86400)).map(str)
SERVERS = st.sampled_from(
    ["cm-1.example.org", "cm-2.example.org:9619", "[fd00::1]:9618", "ccb.example.org:9618?sock=collector3"]
)
GOOD = {
    "path": HOSTILE.map("/etc/".__add__),
    "command": st.lists(HOSTILE, max_size=2).map(lambda words: shlex.join(["/bin/x", *words])),
    "seconds": SECONDS,
    "hosts": st.lists(SERVERS, min_size=1, max_size=3).map(",".join),
    "domain": st.sampled_from(["flock.opensciencegrid.org", "pool.example.org", "a"]),
    "site": st.text("aZ0._- ", max_size=62).map("A".__add__).map(str.strip),
    "country": st.text("AZ", min_size=2, max_size=2),
    "secret": st.just(credential.EXAMPLE),
}
BAD = {
    "path": HOSTILE,
    "command": HOSTILE.map("/bin/x ".__add__),
    "seconds": st.one_of(st.integers().map(str), st.tuples(SECONDS, PIECES).map("".join)),
    "site": HOSTILE,
    "country": st.one_of(PIECES, st.just("us")),
}


def texts(key: rendering.Key) -> st.SearchStrategy[str]:
    good = st.sampled_from(key.kind.split("|")) if "|" in key.kind else GOOD[key.kind]
    return st.booleans().flatmap(lambda is_good: good if is_good else BAD.get(key.kind, PIECES))


TEXTS = {key.key: texts(key) for key in rendering.worker_keys() if key.key in rendering.setting_keys()}
SETTINGS = st.sampled_from(sorted(TEXTS)).flatmap(lambda key: st.fixed_dictionaries({key: TEXTS[key]}))
# All at once would hardly ever be accepted.
HOSTILE_FIELDS = st.sampled_from(
    [
        *[{"group"}, {"start"}, {"group", "start"}, {"setting"}, {"setting", "group"}] * 3,
        *[{"group", "token"}, {"token"}, {"project"}],
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """One or two hostile values among good ones."""
    hostile = draw(HOSTILE_FIELDS)
    start = draw(STARTS) if "start" in hostile else None
    project = draw(PROJECTS) if "project" in hostile else "TG-ABC123"
    settings = draw(SETTINGS) if "setting" in hostile else {}
    elsewhere = settings.keys() & set(keys.TOKEN_SOURCES)
    return Request(
        token=draw(TOKENS) if "token" in hostile else "" if elsewhere else TOKEN,
        settings=settings,
        projects=(project,) if start is None else (),
        conditions=() if start is None else (start,),
        group_name=draw(HOSTILE) if "group" in hostile else "My Test Workers",
    )


class Server:
    """A program in the worker's root that does what each line says."""

    def __init__(self, argv: list[str], root: Path, share: Path) -> None:
        mounted = (
            'mount --bind "$1" "$0/run"; mount -t tmpfs tmpfs "$0/dev"; mknod -m 666 "$0/dev/null" c 1 3;'
            ' root=$0; shift; exec chroot "$root" "$@"'
        )
        self._log = share / f"{Path(argv[0]).name}.log"
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        }
        with self._log.open("w") as log:  # a pipe that nobody reads fills up
            self._process = subprocess.Popen(
                sandbox_argv(["sh", "-ec", mounted, str(root), str(share), *argv]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )

    def do(self, line: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().rstrip("\n")
        if not answer:
            self._process.kill()
            self._process.communicate()
            raise AssertionError(f"the server died: {self._log.read_text()[-3000:]}")
        return answer

    def end(self) -> None:
        self._process.communicate()


@dataclass
class Worker:
    """A worker's root, what runs in it, and what the cases have come to."""

    root: Path
    upper: Path
    share: Path
    bash: Server
    cloud_init: Server
    accepted: int = 0
    refused: int = 0
    for_condor: list[WorkerConf] = field(default_factory=list)

    @property
    def conf(self) -> Path:
        return self.root / "etc" / "osg-worker.conf"

    def changed(self) -> set[str]:
        """All files of the upper layer, that is: all that were written or removed."""
        return {
            str((Path(folder) / name).relative_to(self.upper))
            for folder, _, names in os.walk(self.upper)
            for name in names
        }


# A subshell for each, as another process is: nothing of one script reaches the next.
BASH = 'while IFS= read -r file; do ( . "$file" ) </dev/null >/run/said 2>&1; echo "status $?"; done'


@pytest.fixture
def worker(image_root: Path, tmp_path: Path) -> Iterator[Worker]:
    layer, root, share = (tmp_path / name for name in ("layer", "root", "share"))
    for folder in (layer, root, share):
        folder.mkdir()
    with ExitStack() as stack:
        stack.enter_context(mounted(["-t", "tmpfs", "tmpfs"], layer))
        stack.enter_context(mounted(["-t", "tmpfs", "tmpfs"], share))
        for name in ("upper", "work"):
            (layer / name).mkdir()
        layers = f"lowerdir={image_root},upperdir={layer}/upper,workdir={layer}/work"
        stack.enter_context(mounted(["-t", "overlay", "-o", layers, "overlay"], root))
        (share / "server.py").write_text(SERVER.read_text())
        bash = Server(["bash", "-c", BASH], root, share)
        stack.callback(bash.end)
        cloud_init = Server(["python3", "-B", "/run/server.py"], root, share)
        stack.callback(cloud_init.end)
        yield Worker(root, layer / "upper", share, bash, cloud_init)


@contextmanager
def mounted(what: list[str], where: Path) -> Iterator[None]:
    subprocess.run(["mount", *what, str(where)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True)


def test_no_value_breaks_user_data(worker: Worker) -> None:
    for number in range(-(-CASES // ROUND)):
        count = min(ROUND, CASES - number * ROUND)

        @seed(number)
        @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(requests())
        def cases(wanted: Request) -> None:
            one_case(worker, wanted)

        cases()
        ask_condor(worker)
        print(f"\n{worker.accepted} accepted and run in every form, {worker.refused} refused", flush=True)
    assert worker.accepted + worker.refused >= CASES
    assert min(worker.accepted, worker.refused) > CASES // 10


def delimiter_in_the_text(text: str) -> str:
    return text.replace("EOF", rendering.extract_conf(text).split("\n")[0])


def in_single_quotes(text: str) -> str:
    """YAML in which a line break is written as two, and a quote in a value is not doubled."""
    lines = rendering.extract_conf(text).splitlines()
    content = "\n\n      ".join(lines)
    return re.sub(r"(?s)content: \|\n.*", lambda _: f"content: '{content}'\n", text)


# The form that is broken, and what breaks it.
BROKEN: dict[str, tuple[str, Callable[[str], str]]] = {
    "the heredoc is not quoted": ("script", lambda text: text.replace("<<'EOF'", "<<EOF")),
    "the delimiter is a line of the text": ("script", delimiter_in_the_text),
    "no umask": ("script", lambda text: text.replace("umask 077\n", "")),
    "the new file stays": ("script", lambda text: text.replace("mv -fT", "cp")),
    "no permissions": ("cloud-config", lambda text: text.replace("    permissions: '0600'\n", "")),
    "quotes that a value can close": ("cloud-config", in_single_quotes),
    "another user": ("mime", lambda text: text.replace("owner: root:root", "owner: root:nogroup")),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_caught(what: str, worker: Worker) -> None:
    """The same drawing and the same checks find each of these mistakes within 200 cases."""
    broken, spoil = BROKEN[what]
    caught: list[str] = []

    def render(conf: WorkerConf, form: str, include: Sequence[Part]) -> str:
        text = rendering.render(conf, form, include)
        return spoil(text) if form == broken else text

    @seed(0)
    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(requests())
    def cases(wanted: Request) -> None:
        if caught:  # what was written by the broken one is still there
            return
        try:
            one_case(worker, wanted, render)
        except AssertionError as problem:
            caught.append(str(problem))

    cases()
    assert caught, f"{worker.accepted} cases ran, and none was found wrong"
    print(f"\ncaught after {worker.accepted} cases: {caught[0][:600]}")


def one_case(worker: Worker, wanted: Request, render: Render = rendering.render) -> None:
    try:
        conf = request.conf_of(wanted)
    except BadInput as refusal:
        assert any(name in str(refusal) for name in FIELDS), refusal
        worker.refused += 1
        return
    worker.accepted += 1
    expected = {"Token": wanted.token, "WorkerGroupName": wanted.group_name, "Start": conf.start}
    expected |= {key: value or DEFAULTS[key] for key, value in wanted.settings.items()}
    for form in rendering.FORMS:
        text = render(conf, form, OWN if form == "mime" else ())
        if form == "conf":
            check_values(text.encode(), expected)
        else:
            # A multi-part travels packed: that way is tried as well.
            run_it(worker, form, encodings.payload_of(text, Encoding(gzip=form == "mime")))
            check_file(worker, expected)
    worker.for_condor.append(conf)
    if len(worker.for_condor) >= 500:
        ask_condor(worker)


def run_it(worker: Worker, form: str, payload: bytes) -> None:
    (worker.share / "user-data").write_bytes(payload)
    if form == "script":
        assert worker.bash.do("/run/user-data") == "status 0", (worker.share / "said").read_text()
    else:
        assert worker.cloud_init.do("/run/user-data") == "done"


def check_file(worker: Worker, expected: dict[str, str | None]) -> None:
    assert worker.changed() == {"etc/osg-worker.conf"}
    about = worker.conf.stat()
    assert (stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid) == (0o600, 0, 0)
    check_values(worker.conf.read_bytes(), expected)
    worker.conf.unlink()


def check_values(raw: bytes, expected: dict[str, str | None]) -> None:
    read = guest.read(raw)
    assert (read.problems, read.warnings) == ((), ())
    assert {key: read.values[key] for key in expected} == expected


def ask_condor(worker: Worker) -> None:
    """The worker's own rendering, a name for each case, all read back by one condor_config_val."""
    guest.problem_with("string", "")  # makes the guest's modules known
    from worker_runtime.configuration import condor_config

    meant: dict[str, str] = {}
    for number, conf in enumerate(worker.for_condor):
        values = guest.read(rendering.conf_text(conf).encode()).values
        macros = condor_config.expected_values(
            guest.kind_of("osg"), values, condor_config.Machine(0, {}), ["True"]
        )
        meant |= {f"CASE_{number}_{name}": value for name, value in macros.items()}
    worker.for_condor.clear()
    lines = (f"{name} = {condor_config.escape_macro(value)}\n" for name, value in meant.items())
    (worker.share / "condor_config").write_text("".join(lines), "utf-8")
    asked = "CONDOR_CONFIG=/run/condor_config xargs condor_config_val </run/names >/run/values"
    (worker.share / "names").write_text("\n".join(meant))
    (worker.share / "ask").write_text(asked)
    assert worker.bash.do("/run/ask") == "status 0", (worker.share / "said").read_text()
    got = (worker.share / "values").read_text("utf-8").split("\n")
    assert dict(zip(meant, got, strict=False)) == meant
