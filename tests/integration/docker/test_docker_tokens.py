"""Tokens of containers: files of the host that are mounted, by themselves or with their folder."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import Future
from pathlib import Path

import pytest

from bakery.verify.pool.throwaway_pool import Pool
from tests.integration.docker.containers import (
    Here,
    by_name,
    mounted,
    of_cluster,
    owner_and_mode,
    refused,
    started,
    variables,
    wait_job,
)
from tests.integration.docker_here import Docker

TAKEN_UP = "HTCondor loads the new configuration"
AS_A_JOB = ("setpriv", "--reuid=slot1", "--regid=slot1", "--clear-groups")


def test_a_token_file_that_is_absent(docker: Docker, tmp_path: Path) -> None:
    """`docker run -v` makes a directory of it."""
    said = refused(docker, *mounted(tmp_path / "no-such-token"), **variables("refused"))
    assert "PROMINENCE_TOKEN_FILE /etc/condor/tokens.d/token.jwt is a directory, not a file\n" in said


def test_a_token_that_has_expired(docker: Docker, pool: Pool, token: Path) -> None:
    token.write_text(pool.worker_token(lifetime=-60))
    assert "the token expired on" in refused(docker, *mounted(token), **variables("refused"))


def test_a_token_that_jobs_could_read(docker: Docker, token: Path) -> None:
    """A folder that is open to others takes the place of the image's, which is closed."""
    folder = token.parent / "tokens"
    folder.mkdir(mode=0o755)
    shutil.copy(token, folder)
    said = refused(docker, "-v", f"{folder}:/etc/condor/tokens.d", **variables("refused"))
    problem = "jobs could read the token in /etc/condor/tokens.d/token.jwt"
    assert f"{problem}; make root its owner and run chmod 600 on it" in said
    assert owner_and_mode(folder / "token.jwt") == (0, 0, 0o644)
    assert owner_and_mode(folder) == (0, 0, 0o755)


def a_token_that_others_can_read_stays_as_it_is_and_jobs_read_no_copy(here: Here) -> None:
    another = here.folder / "another"
    shutil.copy2(here.token, another)
    os.chown(another, 1000, 1000)
    copies = "/run/worker-bakery/tokens.d"
    options = (*mounted(here.token), "-v", f"{another}:/etc/condor/tokens.d/another")
    with started(here.docker, *options, env=variables("readable")) as container:
        container.wait_for_text("starting: ")
        for name in ("token.jwt", "another"):
            path = f"/etc/condor/tokens.d/{name}"
            warning = f"{path} is readable by others than its owner (mode 0644); run chmod 600 on it"
            assert warning in container.said()
        listed = container.exec("stat", "--format=%n %U %a", copies, f"{copies}/another")
        assert listed.splitlines() == [f"{copies} root 700", f"{copies}/another root 600"]
        # The folder that it is mounted in is closed, the one with the copy, too.
        for inside in ("/etc/condor/tokens.d/token.jwt", f"{copies}/prominence-worker.token"):
            container.exec("test", "-r", inside)
            container.exec(*AS_A_JOB, "test", "-e", inside, expect=(1,))
        assert container.stop(100) == 0
    assert owner_and_mode(here.token) == owner_and_mode(another) == (1000, 1000, 0o644)


def a_token_that_changes_is_used_and_jobs_go_on(here: Here) -> None:
    folder = here.folder / "tokens"
    folder.mkdir(mode=0o700)
    now = folder / "token.jwt"
    Path(shutil.copy(here.token, now)).chmod(0o600)
    until_told = "#!/bin/sh\nwhile [ ! -e /home/end ]; do sleep 1; done\n"
    job = here.pool.submit("goes-on", "", until_told, of_cluster("goes-on"))
    home = here.folder / "home"
    home.mkdir()
    options = ("-v", f"{folder}:/etc/condor/tokens.d", "-v", f"{home}:/home")
    with started(here.docker, *options, env=variables("goes-on", job_id="goes-on")) as container:
        wait_job(here.pool, container, job, "2")
        now.write_text(here.pool.worker_token(lifetime=-60))
        container.wait_for_text("HTCondor keeps its previous configuration")
        # As whoever writes atomically does it.
        (folder / ".token.jwt").write_text(here.pool.worker_token(lifetime=7200))
        (folder / ".token.jwt").replace(now)
        container.wait_for_text(TAKEN_UP)
        (home / "end").touch()
        wait_job(here.pool, container, job)
        assert here.pool.job_attributes(job, "NumShadowStarts") == ["1"]
        assert "eyJ" not in container.said()
        assert container.stop(100) == 0


LIVES = by_name(
    a_token_that_changes_is_used_and_jobs_go_on,
    a_token_that_others_can_read_stays_as_it_is_and_jobs_read_no_copy,
)


@pytest.mark.parametrize("name", LIVES)
def test_container(name: str, lived: dict[str, Future[None]]) -> None:
    lived[name].result()


@pytest.mark.full  # a_token_that_changes_is_used_and_jobs_go_on has the way that works
def test_a_token_that_is_rejected_and_then_replaced_where_a_container_cannot_see_it(
    docker: Docker, pool: Pool, token: Path
) -> None:
    with started(docker, *mounted(token), env=variables("replaced")) as container:
        container.wait_for_text("starting: ")
        Path(shutil.copy(token, f"{token}.new")).replace(token)
        container.wait_for_text("was replaced by another file")
        assert TAKEN_UP not in container.said()
