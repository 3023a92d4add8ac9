"""README against the code: exit codes, options, keys."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest

from bakery.commands import bake, diff, remote, userdata_options, verify
from bakery.commands import userdata as gen_userdata
from bakery.image import bases
from bakery.runtime import data
from bakery.userdata import batch, keys, rendering
from provisioner import errors

README = (Path(__file__).parent.parent.parent / "README.md").read_text()


def classes() -> dict[str, int]:
    return {
        name: kind.exit_code
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.BakeryError) and kind not in (errors.BakeryError, errors.Interrupted)
    }


def test_every_cause_has_its_exit_code_in_the_readme() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", README, re.MULTILINE)
    assert {name: int(code) for code, name in rows} == classes()
    assert len(set(classes().values())) == len(classes())


def test_signals_end_with_the_shell_s_codes() -> None:
    assert (errors.Interrupted(2).exit_code, errors.Interrupted(15).exit_code) == (130, 143)
    assert "130, 143" in README


def test_an_error_keeps_its_code_across_a_process_boundary() -> None:
    for name, code in classes().items():
        if name != "CommandFailed":
            made = getattr(errors, name)("what", "do")
            again = errors.from_event(json.loads(json.dumps(errors.to_event(made))))
            assert (again.exit_code, str(again)) == (code, "what do")


@pytest.mark.parametrize("kind", rendering.KINDS)
def test_every_key_of_the_worker_s_file_is_in_the_readme_with_its_default(kind: str) -> None:
    table = json.loads((data.WORKER / kind / "usr/lib/worker-bakery/keys.json").read_text())
    replaced = {row["instead_of"] for row in table["keys"] if row.get("instead_of") and row["default"]}
    for row in table["keys"]:
        required = row["required"] and row["key"] not in replaced
        default = "required" if required else f"`{row['default']}`" if row["default"] else ""
        assert re.search(rf"^\| `{row['key']}` \| {re.escape(default)} ?\|", README, re.MULTILINE), row[
            "key"
        ]


def test_every_option_and_column_of_gen_userdata_is_in_the_readme() -> None:
    table = README[README.index("| option | means |") : README.index("Where to paste it")]
    options = {word for action in userdata_options.parser()._actions for word in action.option_strings}
    missing = {word for word in options if not re.search(rf"`{word}\b", table)}
    assert missing == {"-h"}
    columns = re.findall(r"\w+", table[table.index("any of `file") : table.index("and each key")])
    assert set(batch.columns()) - set(keys.settable()) == set(columns) - {"any", "of"}
    more = re.search(r"--worker prominence` also `([a-z_ ]+)`", table)
    assert more and set(batch.columns("prominence")) - set(keys.settable("prominence")) == (
        set(batch.columns()) - set(keys.settable()) | set(more[1].split())
    )


def row(base: bases.Base) -> str:
    name = f"`{base.name}`" + (" (default)" if base.name == bases.DEFAULT else "")
    cells = (
        name,
        ", ".join(base.architectures),
        base.end_of_life,
        base.file_system,
        ", ".join(base.firmware),
        f"`{base.login}`",
        base.htcondor,
        base.proof,
    )
    return f"| {' | '.join(cells)} |"


def test_the_readme_s_table_of_bases_is_what_their_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "host", lambda: "x86_64")
    start = README.index("| base | for | until |")
    table = README[start : README.index("\n\n", start)].splitlines()[2:]
    assert table == [row(base) for base in bases.known()]


def test_every_option_that_says_what_the_base_is_is_in_the_readme() -> None:
    [group] = [group for group in bake.parser()._action_groups if group.title == "base image"]
    section = README[README.index("### Bases") : README.index("### Exit codes")]
    options = {word for action in group._group_actions for word in action.option_strings}
    assert options
    assert {word for word in options if not re.search(rf"^\| .*`{word}\b", section, re.MULTILINE)} == set()


@pytest.mark.parametrize(
    "command",
    [bake, gen_userdata, diff, remote, verify],
    ids=lambda m: m.__name__,
)
def test_every_command_explains_itself(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])  # type: ignore[attr-defined]
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: " in shown
    for option in ("--json", "--version", "--quiet", "--verbose"):
        assert option in shown
