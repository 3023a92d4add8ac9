"""A batch writes the files of all rows, or none."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from bakery.commands.userdata import main
from bakery.tokens import signing
from bakery.userdata import rendering

TOKEN = signing.mint(
    bytes(64),
    "POOL",
    issuer="flock.opensciencegrid.org",
    subject="worker@example",
    scopes=["ADVERTISE_STARTD"],
    lifetime=90 * 86400,
)
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return str(path)


def table(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "workers.csv"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_for_each_row(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    rows = table(
        tmp_path,
        "group_name,project,owner,start,idle_minutes,pool,file,anyone",
        "Group A,TG-A,,,,,,",
        '"B ""quoted"" é",TG-A TG-B,alice,TARGET.RequestCpus < 9,20,flock.opensciencegrid.org:9618,b.txt,',
        "C,,,,,,,yes",
    )
    out = tmp_path / "out"
    assert main(["--batch", rows, "--token-file", token_file, "-o", str(out), "--json"]) == 0
    assert names_in(out) == ["C.sh", "Group-A.sh", "b.txt"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in out.iterdir())
    output = json.loads(capsys.readouterr().out)
    assert output == {"output": str(out), "written": 3, "warnings": {}}
    read = rendering.parse_conf(rendering.extract_conf((out / "b.txt").read_text()))
    assert read == {
        "WorkerGroupName": 'B "quoted" é',
        "Token": TOKEN,
        "Start": '(TARGET.ProjectName == "TG-A" || TARGET.ProjectName == "TG-B" || '
        'TARGET.Owner == "alice") && (TARGET.RequestCpus < 9)',
        "CentralManager": "flock.opensciencegrid.org:9618",
        "IdleTimeout": "1200",
    }
    assert "\nStart = True\n" in (out / "C.sh").read_text()


def test_a_row_may_have_its_own_token(token_file: str, tmp_path: Path) -> None:
    rows = table(tmp_path, "group_name,token_file,token", f"a,{token_file},", f"b,,{TOKEN}")
    assert main(["--batch", rows, "--project", "TG-A", "-o", str(tmp_path / "out"), "-q"]) == 0
    assert names_in(tmp_path / "out") == ["a.sh", "b.sh"]


def test_a_row_may_set_keys_of_the_worker(token_file: str, tmp_path: Path) -> None:
    rows = table(
        tmp_path,
        "group_name,max_hours,join_minutes,on_idle,ExecuteDisk,worker_token_file,worker_token_command",
        "a,48,5,stop,no,,",
        "b,,,,,/run/token,",
        "c,,,,,,/bin/get token",
        "d,,,,,,",
    )
    words = ["--batch", rows, "--project", "TG-A", "--token-file", token_file, "--join-minutes", "7"]
    assert main([*words, "-o", str(tmp_path / "out"), "-q", "--format", "conf"]) == 0
    start = 'Start = TARGET.ProjectName == "TG-A"\n'
    assert {path.stem: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        "a": f"WorkerGroupName = a\nToken = {TOKEN}\n{start}JoinTimeout = 300\nMaxLifetime = 172800\n"
        "OnIdle = stop\nExecuteDisk = no\n",
        "b": f"WorkerGroupName = b\nTokenFile = /run/token\n{start}JoinTimeout = 420\n",
        "c": f"WorkerGroupName = c\nTokenCommand = /bin/get token\n{start}JoinTimeout = 420\n",
        "d": f"WorkerGroupName = d\nToken = {TOKEN}\n{start}JoinTimeout = 420\n",
    }


def test_a_token_in_a_row_replaces_the_common_command(token_file: str, tmp_path: Path) -> None:
    rows = table(tmp_path, "group_name,token_file", f"a,{token_file}", "b,")
    words = ["--batch", rows, "--project", "TG-A", "--worker-token-command", "/bin/get", "-q"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    made = {path.stem: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert ("Token = " in made["a"], "TokenCommand" in made["a"]) == (True, False)
    assert ("Token = " in made["b"], "TokenCommand = /bin/get\n" in made["b"]) == (False, True)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["group_name,on_idle", "a,reboot"], "row 2: OnIdle is not one of: poweroff, stop, none, delete"),
        (["group_name,max_hours", "a,8000"], "row 2: The token expires on"),
        (
            ["group_name,worker_token_file,token", f"a,/x,{TOKEN}"],
            "row 2: Only one of Token, TokenFile can",
        ),
        (
            ["group_name,executedisk", "a,no"],
            "has unknown columns: executedisk. Did you mean ExecuteDisk? The columns are",
        ),
        (["group_name", "a", "a"], "row 3: An earlier row also writes the file a.sh."),
        (["group_name,project", "a,TG-A", 'b,"x y$"'], "row 3: 'y$' is not a valid project name"),
        (["group_name,start", "a,nosuch(1)"], "row 2: The Start accepts no sample job"),
        (["group_name,idle_minutes", "a,soon"], "--idle-minutes is not a number: 'soon'"),
        (["group_name,anyone", "a,perhaps"], "The column anyone must be yes or no, not 'perhaps'"),
        (["group_name,project", ",TG-A"], "row 2: The row has no file name."),
        (["file", "../x"], "'../x' is not a valid file name"),
        (["group_name,token_file", "a,/no/such/file"], "row 2: Cannot read /no/such/file"),
        (["group_name,token", "a,aaabbb..."], "row 2: The token is a placeholder from an example."),
        (
            ["grup_name", "a"],
            "has unknown columns: grup_name. Did you mean group_name? The columns are file, token_file",
        ),
        (["group_name,group_name", "a,b"], "must name each column once"),
        (["group_name,project", "a"], "line 2: the number of fields differs from the number of columns"),
        (["group_name", '"a'], "is not valid CSV"),
        (["group_name"], "has no rows"),
        ([], "must name each column once"),
    ],
)
def test_nothing_is_written_if_a_row_is_invalid(
    lines: list[str], message: str, token_file: str, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    words = ["--token-file", token_file, "--project", "TG-PHY", "-o", str(out)]
    assert main(["--batch", table(tmp_path, *lines), *words]) == 2
    assert message in capsys.readouterr().err
    assert names_in(out) == []


def test_only_the_first_errors_are_listed(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    rows = table(tmp_path, "group_name,project", *(f"g{number},a$" for number in range(50)))
    assert main(["--batch", rows, "--token-file", token_file, "-o", str(tmp_path / "out")]) == 2
    output = capsys.readouterr().err
    assert output.count("row ") == 20
    assert "… and 30 more" in output


def test_warnings_are_counted(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    rows = table(tmp_path, "group_name,start", "a,True", "b,True", 'c,TARGET.Owner == "x"')
    words = ["--batch", rows, "--token-file", token_file, "-o", str(tmp_path / "out")]
    assert main(words) == 0
    assert "warning: accepts-everyone: 2 of 3 rows" in capsys.readouterr().err
    assert main([*words, "--strict"]) == 2


def test_a_missing_table(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["--batch", "/no/such", "--token-file", token_file, "-o", str(tmp_path / "out")]) == 2
    assert "Cannot read /no/such" in capsys.readouterr().err
