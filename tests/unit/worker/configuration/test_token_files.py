"""Token files of the host or the user: read and copied, never changed."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from worker_runtime.configuration import condor_config
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.container import inputs, token_files
from worker_runtime.container.inputs import Inputs

from tests.unit.worker.conftest import PROMINENCE

OTHER = b"other.token.of-another-pool\n"


@pytest.fixture
def kind(tmp_path: Path) -> Kind:
    """With its folders here: the user's with two tokens."""
    mine = tmp_path / "given"
    mine.mkdir()
    (mine / "token.jwt").write_bytes(b"a.b.c\n")
    (mine / "other").write_bytes(OTHER)
    (mine / ".unfinished").write_bytes(b"half")
    (mine / "folder").mkdir()
    return PROMINENCE._replace(
        tokens=str(tmp_path / "run/tokens.d"), user_tokens=str(mine), file=str(tmp_path / "worker.conf")
    )


def values(kind: Kind) -> dict[str, str]:
    return {"Token": "a.b.c", "TokenFile": f"{kind.user_tokens}/token.jwt"}


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_htcondor_gets_private_copies_of_all_tokens(kind: Kind) -> None:
    before = token_files.stamps(token_files.sources(kind, values(kind)))
    assert token_files.copy_tokens(kind, values(kind))
    assert content(kind.tokens) == {"prominence-worker.token": b"a.b.c\n", "other": OTHER}
    assert Path(kind.tokens).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in Path(kind.tokens).iterdir()} == {0o600}
    assert not token_files.copy_tokens(kind, values(kind))
    # ctime would tell of a chmod or chown.
    assert token_files.stamps(token_files.sources(kind, values(kind))) == before


def test_copies_follow_but_a_daemon_s_own_token_stays(kind: Kind) -> None:
    token_files.copy_tokens(kind, values(kind))
    theirs = Path(kind.tokens, "STARTD_auto_generated_token")
    theirs.write_text("x")
    Path(kind.user_tokens, "other").unlink()
    assert token_files.copy_tokens(kind, values(kind))
    assert set(content(kind.tokens)) == {"prominence-worker.token", theirs.name}


def test_another_token_that_cannot_be_read_is_said_and_left_out(
    kind: Kind, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def refused(path: str, private: bool) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("worker_runtime.system.files.read_settled", refused)
    token_files.copy_tokens(kind, values(kind))
    assert set(content(kind.tokens)) == {"prominence-worker.token"}
    said = f"warning: {kind.user_tokens}/other: Permission denied; HTCondor does not get this token\n"
    assert said.encode() in capfdbinary.readouterr().err


def test_what_holds_a_token_is_known(kind: Kind) -> None:
    both = [f"{kind.user_tokens}/other", f"{kind.user_tokens}/token.jwt"]
    assert token_files.sources(kind, values(kind)) == both
    Path(kind.file).write_text("PROMINENCE_CLOUD=x\n")
    assert token_files.sources(kind, values(kind)) == both
    Path(kind.file).write_text("PROMINENCE_WORKER_TOKEN=a.b.c\n")
    assert token_files.sources(kind, values(kind)) == [*both, kind.file]


@pytest.mark.parametrize(("mode", "said"), [(0o644, 1), (0o640, 1), (0o600, 0), (0o400, 0)])
def test_what_others_can_read_is_said_with_what_to_do(mode: int, said: int, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    token.chmod(mode)
    found = token_files.warnings([str(token)])
    assert len(found) == said
    assert all(f"(mode {mode:04o}); run chmod 600 on it" in text for text in found)


# Nothing else in this tier needs root, so that everybody can run it; CI does as root.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as somebody else")
def test_jobs_are_tried_by_their_own_number(open_folder: Path) -> None:
    account = pwd.struct_passwd(("slot1", "x", 998, 997, "", "/", "/"))
    token = open_folder / "token"
    token.touch()
    who = (os.geteuid(), os.getegid(), os.getgroups())
    for owner, group, mode, read in (
        (0, 0, 0o600, False),
        (0, 0, 0o640, False),
        (0, 997, 0o640, True),
        (998, 0, 0o600, True),
        (0, 0, 0o604, True),
    ):
        os.chown(token, owner, group)
        token.chmod(mode)
        assert token_files.first_readable_by(account, [str(token)]) == (str(token) if read else None)
    open_folder.chmod(0o700)
    assert token_files.first_readable_by(account, [str(token)]) is None
    assert (os.geteuid(), os.getegid(), os.getgroups()) == who


def test_a_change_is_taken_up_once_and_a_bad_one_not_at_all(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    at: dict[str, str] = {
        "TokenFile": f"{kind.user_tokens}/token.jwt",
        "CentralManager": "cm",
        "MetadataGuard": "yes",
    }

    def read(*_: object) -> WorkerConfig:
        secret = Path(at["TokenFile"]).read_text().strip()
        return WorkerConfig({**at, "Token": secret}, ("bad",) if secret == "bad" else (), ())

    monkeypatch.setattr(inputs, "load", read)
    monkeypatch.setattr(inputs, "read_inputs", lambda *_: WorkerConfig(at, (), ()))
    open_to_jobs: list[str | None] = [None]
    one = Inputs(kind, {}, condor_config.Machine(0, {}), lambda _: open_to_jobs[0])
    assert one.read().values["Token"] == "a.b.c"
    assert one.reload() is None
    token = Path(at["TokenFile"])
    for text, taken in (("d.e.f", "d.e.f"), ("bad", None), ("g.h.i", "g.h.i")):
        token.unlink()
        token.write_text(text)
        found = one.reload()
        assert (found and found.values["Token"]) == taken
        assert one.reload() is None
    one.request_reload()  # the token of a program that runs again; no file changes
    found = one.reload()
    assert found and found.values["Token"] == "g.h.i"
    assert one.reload() is None
    open_to_jobs[0] = str(token)
    token.write_text("j.k.l")
    assert one.reload() is None


def test_what_cannot_be_followed_is_said_in_the_user_s_words() -> None:
    before = {"CentralManager": "a", "MetadataGuard": "yes"}
    found = inputs.with_fixed_settings(
        PROMINENCE, before, WorkerConfig({**before, "CentralManager": "b"}, (), ())
    )
    assert found.problems == ("a change of PROMINENCE_COLLECTOR requires a restart of the worker",)
    assert not inputs.with_fixed_settings(PROMINENCE, before, WorkerConfig(before, (), ())).problems
