"""The way out of a command; verify-image starts a process before it can fail."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence

import pytest

from bakery.commands import bake_image, gen_userdata, provision
from provisioner import errors

COMMANDS = [
    (bake_image.main, ["--base", "no-such-base", "--dry-run"]),
    (gen_userdata.main, ["--worker-token-file", "/run/token"]),
    (provision.main, ["apply", "/no/such/plan", "--ssh", "root@localhost"]),
]


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.mark.parametrize(("main", "argv"), COMMANDS)
def test_an_error_is_a_paragraph_or_an_event(
    main: Callable[[Sequence[str]], int], argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(argv)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert main([*argv, "--json"]) == code
    told = capsys.readouterr()
    again = errors.from_event(json.loads(told.err))
    assert told.out == ""
    assert (again.exit_code, f"error: {again}\n") == (code, said.err)
