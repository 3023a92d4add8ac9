"""The files for contributors: pre-commit runs what scripts/check runs; versions and names agree."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import yaml

import bakery

ROOT = Path(__file__).parent.parent.parent.parent
CONFIG = ROOT / ".pre-commit-config.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def hooks() -> list[dict[str, Any]]:
    found = yaml.safe_load(CONFIG.read_text())
    assert [repository["repo"] for repository in found["repos"]] == ["local"]
    return [hook for repository in found["repos"] for hook in repository["hooks"]]


def checks() -> list[list[str]]:
    """The commands of scripts/check after it has set up, as words."""
    lines = (ROOT / "scripts" / "check").read_text().splitlines()
    return [
        shlex.split(line) for line in lines[lines.index("scripts/setup") + 1 :] if line[:1] not in ("", "#")
    ]


def command(hook: dict[str, Any]) -> list[str]:
    return shlex.split(hook["entry"]) + list(hook.get("args", ()))


def takes_files(hook: dict[str, Any]) -> bool:
    return bool(hook.get("pass_filenames", True))


def test_the_hooks_run_the_commands_of_scripts_check() -> None:
    """A hook that gets file names has the same program and options; any other, the same command."""
    whole = [command(hook) for hook in hooks() if not takes_files(hook)]
    given = [command(hook) for hook in hooks() if takes_files(hook)]
    for words in checks():
        options = [word for word in words if word[:1] == "-"]
        assert words in whole or [words[0], *options] in given, words
    assert len(hooks()) == len(checks())


def test_a_hook_that_gets_file_names_gets_those_of_scripts_check() -> None:
    for hook in (hook for hook in hooks() if takes_files(hook)):
        [patterns] = [words[1:] for words in checks() if words[0] == command(hook)[0]]
        checked = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
        chosen = {path for path in sources() if re.search(hook["files"], str(path.relative_to(ROOT)))}
        assert checked
        assert chosen == checked


def sources() -> list[Path]:
    folders = [
        ROOT / "examples",
        ROOT / "scripts",
        ROOT / ".ci",
        ROOT / "tests",
        ROOT / "worker",
        ROOT / "bakery",
    ]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_the_hooks_need_nothing_but_what_setup_installs() -> None:
    tools = re.search(
        r"^DEVELOPMENT_TOOLS=\((.*?)\)", (ROOT / "scripts" / "setup").read_text(), re.MULTILINE | re.DOTALL
    )
    assert tools
    developer = {
        re.split(r"[<>=\[]", wanted)[0] for wanted in PROJECT["project"]["optional-dependencies"]["dev"]
    }
    for hook in hooks():
        assert hook["language"] == "system", hook["id"]
        program = command(hook)[0]
        assert program in tools[1].split() or program.removeprefix(".venv/bin/") in developer, program


def test_one_version_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert bakery.__version__ == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changelog(), re.MULTILINE)
    assert released[0] == version
    assert released == sorted(
        released, key=lambda number: [int(part) for part in number.split(".")], reverse=True
    )


def test_the_changelog_is_grouped_as_keep_a_changelog_says() -> None:
    groups = re.findall(r"^### (.*)$", changelog(), re.MULTILINE)
    assert set(groups) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for release in re.split(r"^## ", changelog(), flags=re.MULTILINE)[1:]:
        named = re.findall(r"^### (.*)$", release, re.MULTILINE)
        assert len(named) == len(set(named)), release.splitlines()[0]


def changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text()


def test_coverage_measures_folders_that_exist() -> None:
    for folder in PROJECT["tool"]["coverage"]["run"]["source"]:
        assert list((ROOT / folder).rglob("*.py")), folder


def test_the_workflow_runs_the_project_s_own_script() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert any(".ci/run" in text for text in commands)
    for text in commands:
        for script in re.findall(r"(?:^|\s)((?:scripts|\.ci)/[\w-]+)", text):
            assert (ROOT / script).is_file(), script
