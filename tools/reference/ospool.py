"""The OSPool: guards from the configuration files, sample jobs from tests/ospool."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from bakery.runtime import data
from tools.reference.markdown import ROOT, Outdated, code, described, page, table, texts

JOBS = ROOT / "tests" / "ospool"


def pages() -> dict[str, str]:
    return {
        "ospool.md": page("ospool", guards=table(("macro", "a job is refused if"), guards())),
        "ospool-proof.md": page("ospool-proof", jobs=jobs()),
    }


def guards() -> Iterator[tuple[str, str]]:
    """Each macro that a configuration file of the role defines, with its meaning. Raises Outdated."""
    files = sorted((data.WORKER / "ospool/etc/condor/config.d").glob("*.config"))
    text = "\n".join(path.read_text() for path in files)
    names = re.findall(r"^(WORKER_POOL_GUARD_\w+) *=", text, re.MULTILINE)
    for name, meaning in described("guards", names, texts("ospool")["guards"]):
        yield code(name), meaning


def jobs() -> str:
    """The sample jobs in the order of answers.toml. Raises Outdated."""
    answers = tomllib.loads((JOBS / "answers.toml").read_text())
    if set(answers) != {path.stem for path in JOBS.glob("*.sub")}:
        raise Outdated("ospool: answers.toml and the job descriptions beside it do not agree.")
    rows = [(code(name), _first_comment(name), _answer(row), row["why"]) for name, row in answers.items()]
    return table(("job", "what it asks for", "answer", "why"), rows)


def _first_comment(name: str) -> str:
    first = (JOBS / f"{name}.sub").read_text().splitlines()[0]
    return first.removeprefix("#").strip().removesuffix(".")


def _answer(row: dict[str, object]) -> str:
    refused_by = row.get("refused_by")
    if not isinstance(refused_by, list):
        return str(row["answer"])
    return f"{row['answer']}, by the {' and the '.join(map(str, refused_by))}"
