"""Values of /etc/prominence-worker.conf through all readers: the worker, a shell, the environment."""

from __future__ import annotations

import string
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bakery.userdata import guest
from bakery.userdata.rendering import WorkerConf, conf_text, extract_conf, render
from provisioner.errors import BadInput
from provisioner.process.run import call

PIECES = [
    "'", '"', "`", "$", "\\", "\\\\", '\\"', "$(touch /ran)", "${IFS}", "$HOME", "EOF", "\nEOF\n", "\n",
    "\t", "\r", "\0", "\u2028", "é", "漢字", "🐿", "{{ 7 }}", " #", "# ", ": ", "=", ";", "&&", "|", ">",
    "%s", " ", "$(DOLLAR)", "$$", "a", "0", "export ", "PROMINENCE_REGION=x",
]  # fmt: skip
DRAWN = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), min_size=1, max_size=6)
TEXTS = DRAWN.map("".join).filter(bool)
PLACES = ("Cloud", "Region", "NodeGroup")


def made(values: tuple[str, ...]) -> WorkerConf | None:
    """None if the generator refuses them."""
    try:
        return WorkerConf(
            kind="prominence",
            token="aaa.bbb.ccc",
            central_manager="192.0.2.1",
            settings=dict(zip((*PLACES, "JobId"), values, strict=True)),
        )
    except BadInput:
        return None


def by_bash(folder: Path, texts: list[str]) -> list[list[str]]:
    """What a shell makes of each of these files: the values of the four variables, NUL between them."""
    names = " ".join(f"PROMINENCE_{name}" for name in ("CLOUD", "REGION", "NODE_GROUP", "JOB_ID"))
    for number, text in enumerate(texts):
        (folder / f"{number}.conf").write_text(text, "utf-8", newline="")
    script = f"""
cd "$1"
for ((n = 0; n < $2; n++)); do
    (set -eu; . "./$n.conf"; for name in {names}; do printf '%s\\0' "${{!name}}"; done) >$n.out
done
[ ! -e /ran ]
"""
    call(["bash", "-c", script, "read", str(folder), str(len(texts))])
    outs = ((folder / f"{number}.out").read_bytes().decode() for number in range(len(texts)))
    return [out.split("\0")[:-1] for out in outs]


def test_values_arrive_unchanged_or_are_refused(tmp_path: Path) -> None:
    drawn: list[tuple[str, ...]] = []

    @settings(max_examples=200, deadline=None, database=None)
    @given(st.tuples(TEXTS, TEXTS, st.text(string.printable, min_size=1, max_size=9), TEXTS))
    def draw(values: tuple[str, ...]) -> None:
        conf = made(values)
        # One hostile value at a time would else hardly ever be accepted with the others.
        for number in range(4):
            alone = tuple(value if n == number else "good" for n, value in enumerate(values))
            accepted = made(alone)
            if accepted:
                check(accepted, alone)
                drawn.append(alone)
        if conf:
            check(conf, values)
            drawn.append(values)

    draw()
    assert len(drawn) > 100
    texts = [conf_text(conf) for conf in map(made, drawn) if conf]
    assert by_bash(tmp_path, texts) == [list(values) for values in drawn]


def check(conf: WorkerConf, values: tuple[str, ...]) -> None:
    for form in ("script", "cloud-config", "conf"):
        read = guest.read(extract_conf(render(conf, form)).encode(), "prominence")
        assert (read.problems, read.warnings) == ((), ())
        assert tuple(read.values[name] for name in (*PLACES, "JobId")) == values
