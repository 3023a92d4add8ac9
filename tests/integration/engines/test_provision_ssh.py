"""Apply plans over ssh to the sshd of a base that is booted in namespaces."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pytest

from bakery.image import recipe
from bakery.machines import namespace
from bakery.machines.layer import layer
from bakery.machines.machine import ANY_STATUS, Machine
from bakery.machines.network import GATEWAY, Network, isolated
from bakery.runtime import qemu_img
from bakery.store.store import Store
from provisioner import plan as plans
from provisioner.disk.file_systems import mount_root
from provisioner.plan import Plan, PlannedStep, chained_id
from provisioner.process import run
from provisioner.process.line_splitter import LONGEST
from provisioner.remote import applied_steps
from provisioner.remote.machine import POLICY_SCRIPT
from provisioner.roles import identity
from provisioner.roles.base import POLICY
from provisioner.steps import Command, Directory, File, Packages, Refresh, Service, Step, lower
from provisioner.targets import ssh
from tests import site as additions
from tests.conftest import BASE, BIN, Ended, Folders, command
from tests.integration.bake.test_baked_site import authority, tools

SECRET = "not-for-any-argument-4711"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
DOWNLOADED = "/etc/apt/sources.list.d/x.list"
MASKED = tuple(unit for unit in namespace.MASKED if unit != "ssh.service")
# The service creates a file when it is started, which the package's postinst tries.
UNIT = "[Service]\nType=oneshot\nExecStart=/usr/bin/touch /run/greeter-was-started\n"
POSTINST = "#!/bin/sh\nset -e\nsystemctl daemon-reload\ninvoke-rc.d greeter start\n"


@dataclass(frozen=True)
class Site:
    """A remote machine, and the home directory with the keys of the user who provisions it."""

    machine: Machine
    network: Network
    home: Path
    host: str

    def apply(self, plan: Plan, *more: str, user: str = "root", port: int = 22) -> Ended:
        name, *argv = self.argv(plan, f"{user}@{self.host}:{port}", *more)
        return command(name, *argv, env=self.env, prefix=self.network.argv([]))

    def run(self, verb: str, *more: str, user: str = "maintainer", stdin: str = "") -> Ended:
        """Run `worker-bakery VERB`, logging in as this user."""
        where = ["--ssh", f"{user}@{self.host}", "--key", str(self.home / "key")]
        prefix = self.network.argv([])
        return command("worker-bakery", verb, *more, *where, env=self.env, prefix=prefix, stdin=stdin)

    def start(
        self,
        plan: Plan,
        *more: str,
        user: str = "root",
        host: str = "",
        stderr: IO[str] | int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        name, *argv = self.argv(plan, f"{user}@{host or self.host}", *more)
        return subprocess.Popen(
            self.network.argv([str(BIN / name), *argv]),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **self.env},
        )

    def argv(self, plan: Plan, where: str, *more: str) -> list[str]:
        (self.home / "plan.json").write_text(json.dumps(plans.to_json(plan)))
        key, plan_file = str(self.home / "key"), str(self.home / "plan.json")
        return ["worker-bakery", "apply", plan_file, "--ssh", where, "--key", key, *more]

    @property
    def env(self) -> dict[str, str]:
        return {"HOME": str(self.home)}

    def says(self, *argv: str) -> str:
        return self.machine.run(argv).stdout.strip()

    def has(self, path: str) -> bool:
        return self.machine.succeeds("test", "-e", path)


@pytest.fixture(scope="module")
def base_root(baked: dict[str, Any], store: Store, folders: Folders) -> Iterator[Path]:
    """The root file system of the base, mounted read-only."""
    folder = folders("base")
    disk, root = folder / "disk.raw", folder / "root"
    root.mkdir()
    qemu_img.to_raw(store.base(BASE.id), disk)
    mount_root(disk, root, read_only=True)
    yield root
    run.call(["umount", str(root)])
    disk.unlink()


@pytest.fixture(scope="module")
def site(base_root: Path, store: Store, folders: Folders) -> Iterator[Site]:
    folder = folders("site")
    with made_site(base_root, store, folder / "home", folder / "machine") as made:
        yield made


@contextmanager
def made_site(base_root: Path, store: Store, home: Path, work: Path) -> Iterator[Site]:
    """Boot a machine in the new folder `work`; the home of its user is `home`."""
    home.mkdir()
    work.mkdir()
    with layer(base_root, work) as root, isolated(work) as network:
        new_key(home / "key")
        run.call(["ssh-keygen", "-A", "-f", str(root)])  # cloud-init, which is off, would create them
        prepare_apt(root, work, store.packages("trixie") / "archives")
        with namespace.boot(
            root,
            console=work / "console",
            network=network,
            masked=MASKED,
            arguments=["cloud-init=disabled"],
        ) as machine:
            machine.wait_booted()
            yield made_ready(
                Site(machine, network, home, machine.run(["hostname", "-I"]).stdout.split()[0])
            )


def new_key(path: Path) -> None:
    run.call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)])


def made_ready(site: Site) -> Site:
    """Add the host key to known_hosts, and users: maintainer has sudo, clerk needs a password for it."""
    key = (site.home / "key.pub").read_bytes()
    for user, rule in (("root", ""), ("maintainer", "NOPASSWD: ALL"), ("clerk", "ALL")):
        if rule:
            site.machine.run(["useradd", "-m", "-s", "/bin/bash", user])
            site.machine.put(f"/etc/sudoers.d/{user}", f"{user} ALL=(ALL) {rule}\n".encode(), 0o440)
        home = "/root" if user == "root" else f"/home/{user}"
        site.machine.run(["install", "-d", "-m", "0700", "-o", user, f"{home}/.ssh"])
        site.machine.put(f"{home}/.ssh/authorized_keys", key)
    (site.home / ".ssh").mkdir()
    know(site, site.says("cat", f"{HOST_KEY}.pub"))
    return site


def know(site: Site, *keys: str) -> None:
    (site.home / ".ssh/known_hosts").write_text("".join(f"{site.host} {key}\n" for key in keys))


def prepare_apt(root: Path, work: Path, downloaded: Path) -> None:
    """Replace the repositories by files: a package of ours, and the downloaded ones, not enabled yet."""
    package = work / "greeter"
    for path, text in (
        (package / "lib/systemd/system/greeter.service", UNIT),
        (package / "DEBIAN/postinst", POSTINST),
        (package / "DEBIAN/control", "Package: greeter\nVersion: 1\nArchitecture: all\nMaintainer: x\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + ("Description: x\n" if path.name == "control" else ""))
    (package / "DEBIAN/postinst").chmod(0o755)
    ours, theirs = root / "srv/packages", root / "srv/downloaded"
    ours.mkdir(parents=True)
    run.call(["dpkg-deb", "--root-owner-group", "--build", str(package), str(ours / "greeter.deb")])
    shutil.copytree(downloaded, theirs, ignore=shutil.ignore_patterns("partial", "lock"))
    for folder in (ours, theirs):
        (folder / "Packages").write_text(run.call(["dpkg-scanpackages", "."], cwd=folder).stdout)
    shutil.rmtree(root / "etc/apt/sources.list.d", ignore_errors=True)
    (root / "etc/apt/sources.list.d").mkdir()
    (root / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/packages ./\n")


def planned(name: str, *roles: tuple[str, Sequence[Step]]) -> Plan:
    before = base_id = name.encode().hex().ljust(64, "0")
    steps = []
    for role, wanted in roles:
        for title, actions in lower(wanted):
            before = chained_id(before, actions)
            steps.append(PlannedStep(role, title, actions, before))
    return Plan("debian13", base_id, "osg", tuple(steps))


def shell(title: str, script: str) -> Command:
    return Command(title, ("sh", "-c", script))


def whole(name: str) -> Plan:
    """A plan with steps of every kind; each run adds a line to /root/NAME."""
    return planned(
        name,
        ("base", [File(POLICY, b"#!/bin/sh\nexit 101\n", 0o755), Refresh("apt")]),
        (
            "site",
            [
                Packages("apt", frozenset({"greeter"})),
                Directory(f"/srv/{name}/deep", 0o700),
                File(f"/srv/{name}/new folder/it's a file", f"{SECRET}\n".encode() + b"\xff\0" * 9, 0o600),
                Service("greeter.service", "mask"),
                shell("leave a mark", f'echo "$(id -u) $HOME" >>/root/{name}'),
            ],
        ),
        ("seal", [shell("remove traces", f"rm {HOST_KEY}; touch /sealed")]),
    )


@pytest.mark.parametrize("user", ["root", "maintainer"])
def test_a_plan_is_applied_once(site: Site, user: str) -> None:
    site.machine.run(["apt-get", "-q", "-y", "purge", "greeter"], expect=ANY_STATUS)
    first = site.apply(whole(user), user=user)
    assert (first.status, first.out) == (0, "6 of 6 steps applied, 0 were applied before\n"), first.err
    path = f"/srv/{user}/new folder/it's a file"
    assert site.says("stat", "-c", "%a %U:%G %s", path) == f"600 root:root {len(SECRET) + 19}"
    assert site.says("stat", "-c", "%a %U", f"/srv/{user}/deep") == "700 root"
    assert site.says("cat", f"/root/{user}") == "0 /root"
    assert site.says("systemctl", "is-enabled", "ssh") == "enabled"
    assert "greeter" in site.says("dpkg", "-l", "greeter")
    assert "Skipped, because they are for images only (--seal): seal: remove traces." in first.err
    # The seal was not applied, no service was started, and the policy was removed.
    assert [site.has(name) for name in ("/sealed", "/run/greeter-was-started", POLICY)] == [False] * 3
    second = site.apply(whole(user), user=user)
    assert (second.status, second.out) == (0, "nothing to do: all 6 steps were applied before\n"), (
        second.err
    )
    assert site.says("cat", f"/root/{user}") == "0 /root"
    again = site.apply(whole(user), "--from-scratch", "--json", user=user)
    output = json.loads(again.out)
    assert (output["before"], len(output["applied"]), output["left_out"]) == (0, 6, ["seal: remove traces"])
    assert site.says("cat", f"/root/{user}") == "0 /root\n0 /root"


def test_file_content_is_in_no_argument(site: Site) -> None:
    """sudo logs command lines to the journal, and all users can read those of processes."""
    assert site.apply(whole("journal"), user="maintainer").status == 0
    log = site.says("journalctl", "--no-pager", "-t", "sudo")
    assert "/srv/journal/deep" in log
    assert SECRET not in log


FAILS: list[tuple[str, Sequence[Step]]] = [
    ("base", [File(POLICY, b"", 0o755)]),
    ("site", [shell("one", "echo one >>/root/fails"), shell("two", "echo two >>/root/fails; ls /fixed")]),
    ("late", [shell("three", "echo three >>/root/fails")]),
]


def test_a_failed_step_is_not_retried_and_the_next_run_continues_there(site: Site) -> None:
    plan = planned("fails", *FAILS)
    failed = site.apply(plan)
    assert failed.status == 1
    assert "exited with status 2" in failed.err
    assert "cannot access '/fixed'" in failed.err
    assert not site.has(POLICY)
    site.machine.put("/fixed", b"")
    resumed = site.apply(plan)
    assert (resumed.status, resumed.out) == (0, "2 of 3 steps applied, 1 were applied before\n"), (
        resumed.err
    )
    assert site.says("cat", "/root/fails").split() == ["one", "two", "two", "three"]
    # Steps of another plan in between do not count as applied.
    changed = planned("fails", FAILS[0], ("site", [FAILS[1][1][0], shell("other", "true")]))
    assert site.apply(changed).out == "1 of 2 steps applied, 1 were applied before\n"
    assert site.apply(plan).out == "2 of 3 steps applied, 1 were applied before\n"


def test_a_connection_lost_during_a_step(site: Site) -> None:
    """The command continues to its end, then the step is repeated."""
    script = (
        "echo begin >>/root/cut; for n in 1 2 3 4 5 6; do echo $n; sleep 0.5; done; echo end >>/root/cut"
    )
    plan = planned("cut", ("site", [shell("first", "echo first >>/root/cut"), shell("slow", script)]))
    process = site.start(plan, "-v", user="maintainer")
    site.machine.wait_until("the step began", lambda: site.has("/root/cut") and "begin" in cut(site), 120)
    cut_off(site, "maintainer")
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (0, "2 of 2 steps applied, 0 were applied before\n"), err
    assert f"The connection to maintainer@{site.host}:22 was lost." in err
    assert "waiting for the end of what an earlier connection began" in err
    assert cut(site) == ["first", "begin", "end", "begin", "end"]


def cut(site: Site) -> list[str]:
    return site.says("cat", "/root/cut").split()


def cut_off(site: Site, user: str) -> None:
    """Kill the sshd processes of this user's connections."""
    found = site.says("pgrep", "-f", f"^sshd(-session)?: {user}").split()
    assert found
    site.machine.run(["kill", "-KILL", *found])


LONG = "a line of a hundred characters ".ljust(100, ".")


@pytest.mark.parametrize(
    "script",
    [
        f"yes '{LONG}' | head -c 40000000 >&2; echo; echo the last line",
        "head -c 40000000 /dev/zero | tr '\\0' x >&2; echo; echo the last line",
    ],
    ids=["lines", "one line"],
)
def test_forty_megabytes_of_stderr(site: Site, script: str) -> None:
    with (site.home / "events").open("w+") as events:
        process = site.start(planned(script, ("x", [shell("s", script)])), "--json", stderr=events)
        memory = 0
        while process.poll() is None:
            memory = max(memory, most_memory(process.pid))
            time.sleep(0.02)
        process.communicate()
        events.seek(0)
        texts = [event.get("text", "") for event in map(json.loads, events)]
    assert process.returncode == 0
    assert 20 < memory / 1024 < 100  # MiB; 40 more if it were kept
    if "yes" in script:
        assert texts.count(LONG) == 40_000_000 // 101
    else:
        assert [len(text) for text in texts if text.startswith("xx")] == [LONGEST + 2]
    assert "the last line" in texts


def most_memory(process: int) -> int:
    """Peak memory of a process in KiB, 0 if it has exited."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
        return int(found[1]) if found else 0
    return 0


def test_a_token_in_the_output_is_removed(site: Site) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"
    site.machine.put("/root/token", token.encode(), 0o600)
    done = site.apply(
        planned("token", ("x", [shell("show it", "cat /root/token; cat /root/token >&2; exit 3")]))
    )
    assert done.status == 1
    assert "[token]" in done.err
    assert "c2lnbmF0dXJl" not in done.err


def test_an_incomplete_file_is_not_renamed(site: Site) -> None:
    argv = ["sh", "-c", ssh._PUT, "provision", "/root/half", "0644", "10"]
    done = site.machine.run(argv, stdin=b"short", expect=ANY_STATUS)
    assert (done.status, done.stdout) == (74, "/root/half came incomplete\n")
    assert not site.has("/root/half")
    assert (
        site.machine.run(["sh", "-c", "ls -A /root | grep -c worker-bakery"], expect=(1,)).stdout == "0\n"
    )


def test_a_policy_left_behind_removes_itself(site: Site) -> None:
    site.machine.put(POLICY, POLICY_SCRIPT, 0o755)
    hold = site.machine.run(["sh", "-c", f"exec 9>>{ssh.LOCK}; flock 9; {POLICY} x start"], expect=(101,))
    assert (hold.stdout, site.has(POLICY)) == ("", True)
    site.machine.run([POLICY, "x", "start"])
    assert not site.has(POLICY)


# --- failed connections and logins -------------------------------------------------------------

SMALL = planned("small", ("x", [shell("nothing", "true")]))


def fails(done: Ended, status: int, *says: str) -> None:
    assert (done.status, done.out) == (status, ""), done.err
    assert "Traceback" not in done.err
    for text in says:
        assert text in done.err


def test_sudo_with_a_password_is_refused(site: Site) -> None:
    fails(
        site.apply(SMALL, user="clerk"), 3, "clerk cannot become root", "a password is required", "NOPASSWD"
    )


def test_a_refused_key(site: Site, tmp_path: Path) -> None:
    new_key(tmp_path / "other")
    done = site.apply(SMALL, "--key", str(tmp_path / "other"))
    fails(done, 5, "refused to log in root with", "authorized_keys")


def test_a_closed_port(site: Site) -> None:
    """Not retried: a retry would print a warning."""
    done = site.apply(SMALL, port=23)
    fails(done, 5, f"root@{site.host}:23", "connection refused", "Check that sshd is running")
    assert "Reconnecting" not in done.err


def test_no_ssh_server(site: Site) -> None:
    with (
        site.network.listen(GATEWAY, 8022) as listening,
        site.start(SMALL, host=f"{GATEWAY}:8022") as process,
    ):
        answer, _ = listening.accept()
        answer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        answer.close()
        out, err = process.communicate(timeout=120)
    fails(Ended(process.returncode, out, err), 5, "Check that an ssh server listens on this port.")


def test_a_changed_host_key_is_refused(site: Site, tmp_path: Path) -> None:
    new_key(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text().strip()
    ours = site.says("cat", f"{HOST_KEY}.pub")
    know(site, other)
    try:
        for more in ((), ("--accept-new",)):
            fails(site.apply(SMALL, *more), 5, "has CHANGED", "SHA256:", f"ssh-keygen -R '{site.host}'")
        fails(site.apply(SMALL, "--host-key", str(tmp_path / "other.pub")), 5, "has CHANGED")
        (tmp_path / "right.pub").write_text(ours)
        assert site.apply(SMALL, "--host-key", str(tmp_path / "right.pub")).status == 0
    finally:
        know(site, ours)


def test_an_unknown_host_key_is_accepted_only_with_the_option(site: Site) -> None:
    ours = site.says("cat", f"{HOST_KEY}.pub")
    shown = site.says("ssh-keygen", "-lf", f"{HOST_KEY}.pub").split()[1]
    know(site)
    try:
        fails(site.apply(SMALL), 5, "is not known", shown, "--accept-new")
        accepted = site.apply(SMALL, "--accept-new", "-q")
        assert (accepted.status, shown in accepted.err) == (0, True), accepted.err
        assert site.apply(SMALL, "-q") == Ended(0, "nothing to do: all 1 steps were applied before\n", "")
    finally:
        know(site, ours)


def test_unusable_private_keys(site: Site, tmp_path: Path) -> None:
    run.call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a phrase", "-f", str(tmp_path / "locked")])
    fails(site.apply(SMALL, "--key", str(tmp_path / "locked")), 2, "protected by a passphrase", "ssh-agent")
    fails(site.apply(SMALL, "--key", str(tmp_path / "locked.pub")), 2, "is not a private key")
    fails(site.apply(SMALL, "--key", str(tmp_path / "none")), 2, "No such file")


def test_a_damaged_record(site: Site) -> None:
    site.machine.run(["mkdir", "-p", str(Path(applied_steps.PATH).parent)])
    site.machine.put(applied_steps.PATH, b"{")
    fails(site.apply(SMALL), 2, applied_steps.PATH, "--from-scratch")
    assert site.apply(SMALL, "--from-scratch").status == 0


# --- a worker ----------------------------------------------------------------------------------


def test_the_plan_of_an_image_makes_a_worker(site: Site) -> None:
    """The plan printed by bake-image; packages are those downloaded for the image."""
    site.machine.put(DOWNLOADED, b"deb [trusted=yes] file:/srv/downloaded ./\n")
    planned = command("bake-image", "--dry-run", "--json").out
    argv = ["apply", "-", "--ssh", f"maintainer@{site.host}", "--key", str(site.home / "key"), "-v"]
    prefix = site.network.argv([])
    done = command("worker-bakery", *argv, env=site.env, prefix=prefix, stdin=planned)
    total = len([step for step in json.loads(planned)["steps"] if step["role"] != "seal"]) - 1
    assert (done.status, done.out) == (0, f"{total} of {total} steps applied, 0 were applied before\n"), (
        done.err
    )
    assert "rebooted" in done.err
    again = command("worker-bakery", *argv, env=site.env, prefix=prefix, stdin=planned)
    assert again.out == f"nothing to do: all {total} steps were applied before\n", again.err
    assert site.machine.run(["systemctl", "is-active", "condor"], expect=(3,)).stdout == "inactive\n"
    assert (
        site.says("systemctl", "is-enabled", "osg-worker.path", "worker-life.service") == "enabled\nenabled"
    )
    status = site.machine.run(["worker-image", "status"], expect=(3,))
    assert "has not run since boot" in status.stdout + status.stderr
    assert "DAEMON_LIST" in site.says("condor_config_val", "-dump", "DAEMON_LIST")
    # Its identity and users are unchanged.
    assert [site.has(path) for path in (HOST_KEY, "/home/maintainer/.ssh", POLICY)] == [True, True, False]


# --- remove ------------------------------------------------------------------------------------

RELEASE = "/usr/lib/os-release"


def named(plan: str, version: str) -> Plan:
    """A plan whose seal names the image."""
    seal = [File(identity.ISSUE, b"x\n"), identity.stamp(identity.Identity("osg-debian13", version))]
    return planned(plan, ("site", [shell("nothing", "true")]), ("seal", seal))


def test_a_machine_gets_the_name_of_an_image_with_the_seal_only_and_loses_it(fresh_site: Site) -> None:
    """`remove` keeps what an upgrade of the distribution has written in between."""
    site = fresh_site
    site.machine.run(["sh", "-c", f"echo IMAGE_ID=theirs >>{RELEASE}"])
    before = site.says("cat", RELEASE)
    assert site.apply(named("named", "1")).status == 0
    assert site.says("cat", RELEASE) == before
    for version in ("1", "2"):
        done = site.apply(named(f"named {version}", version), "--seal")
        assert done.status == 0, done.err
        rest = before.removesuffix("\nIMAGE_ID=theirs")
        assert site.says("cat", RELEASE) == f"{rest}\nIMAGE_ID=osg-debian13\nIMAGE_VERSION={version}"
    assert site.says("readlink", "-f", "/etc/os-release") == RELEASE
    assert site.says("cat", identity.ISSUE) == "x"
    site.machine.run(["sed", "-i", "s/^VERSION_ID=.*/VERSION_ID=99/", RELEASE])
    assert site.run("remove").out == "removed\n"
    assert site.says("cat", RELEASE) == re.sub("(?m)^VERSION_ID=.*", "VERSION_ID=99", before)
    assert not site.has(identity.ISSUE)


LISTS = {
    "packages": "dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n'",
    "users": "getent passwd; getent group",
    "units": "systemctl list-unit-files --no-legend | awk '$2 != \"transient\" {print $1, $2}'",
    # Backups and caches change by themselves.
    "files": "find / -maxdepth 1 -printf '%p %y %m %u %l\\n';"
    " find /etc /usr /opt /home /root /srv /var/lib/condor /var/lib/worker-bakery -xdev"
    " -not -path '*/__pycache__*'"
    " -printf '%p %y %m %u %l\\n' 2>&1"
    " | grep -vE '^/etc/(group|passwd|shadow|gshadow|subuid|subgid)-|^/etc/ld.so.cache|/mandb|^/root/.ssh'",
}


def listed(site: Site, lists: Mapping[str, str] = LISTS) -> dict[str, set[str]]:
    return {
        name: set(site.machine.run(["sh", "-c", script]).stdout.splitlines())
        for name, script in lists.items()
    }


@pytest.fixture
def fresh_site(base_root: Path, store: Store, tmp_path: Path) -> Iterator[Site]:
    """A machine without applied plans, with packages to install."""
    with made_site(base_root, store, tmp_path / "home", tmp_path / "machine") as made:
        made.machine.put(DOWNLOADED, b"deb [trusted=yes] file:/srv/downloaded ./\n")
        yield made


def test_a_prominence_worker_is_removed(fresh_site: Site) -> None:
    site = fresh_site
    theirs = "/etc/cloud/cloud.cfg.d/50-worker.cfg"
    site.machine.put(theirs, b"# somebody's\n", 0o640)
    site.machine.run(["systemctl", "mask", "apt-daily.timer"])
    before = listed(site)
    planned = command("bake-image", "--worker", "prominence", "--dry-run", "--json").out
    done = site.run("apply", "-", stdin=planned)
    assert done.status == 0, done.err
    # The state of a worker that has run for a while.
    site.machine.run(["/usr/lib/worker-bakery/worker", "storage"])
    site.machine.run(["/usr/lib/worker-bakery/worker", "resources"])
    site.machine.run(["systemctl", "start", "worker-life.service"])
    site.machine.put("/etc/prominence-worker.conf", b"PROMINENCE_WORKER_TOKEN=x\n", 0o600)
    site.machine.put("/etc/condor/tokens.d/prominence-worker.token", b"x\n", 0o600)
    site.machine.run(["mkdir", "/etc/somebody-else-s"])
    site.machine.run(["apt-get", "-q", "-y", "install", "greeter"])
    assert site.has("/home/prominence/condor")
    assert b"somebody" not in site.machine.run(["cat", theirs]).stdout.encode()

    removed = site.run("remove")
    assert (removed.status, removed.out) == (0, "removed\n"), removed.err
    after = listed(site)
    after["files"] = {row for row in after["files"] if not row.startswith("/etc/somebody-else-s ")}
    theirs_too = {row for name in LISTS for row in after[name] - before[name] if "greeter" in row}
    assert theirs_too
    after = {name: rows - theirs_too for name, rows in after.items()}
    for name in LISTS:
        assert (name, after[name] - before[name], before[name] - after[name]) == (name, set(), set())
    assert site.says("cat", theirs) == "# somebody's"
    assert not site.machine.succeeds("systemctl", "is-active", "worker-life.service")
    again = site.run("remove")
    assert (again.status, again.out) == (0, "nothing to remove: no plan was applied\n"), again.err


# Another machine: a whole worker is removed above, and test_baked_site.py has the additions.
@pytest.mark.full
def test_the_additions_of_a_site_are_removed_except_effects_of_its_commands(
    fresh_site: Site, tmp_path: Path
) -> None:
    on, folder = fresh_site, tmp_path / "tools"
    key = tools(folder)
    on.machine.run(["mkdir", "/srv/tools"])
    for path in (folder / name for name in ("InRelease", "Packages", "site-agent.deb")):
        on.machine.put(f"/srv/tools/{path.name}", path.read_bytes())
    before = listed(on)
    repository = replace(additions.repository(key.encode()), url="file:/srv/tools")
    plan = recipe.plan(BASE, "osg", customization=additions.full((repository,), authority()))
    done = on.apply(plan)
    assert done.status == 0, done.err
    assert "Skipped, because they change the boot loader: site: boot with mitigations" in done.err
    assert "The root file system is not enlarged" in done.err
    assert on.says("id", "-Gn", "alice") == "alice adm site"
    assert on.says("stat", "-c", "%a %U:%G", "/etc/site/agent.private") == "640 agent:site"
    assert on.says("systemctl", "is-enabled", "site-agent.service") == "enabled"
    assert on.says("condor_config_val", "WORKER_GUARDS") == "TARGET.RequestMemory < 64000"
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    with_authority = on.says("sha256sum", bundle)
    again = on.apply(plan)
    assert again.out.startswith("nothing to do: all "), again.err

    removed = on.run("remove")
    assert (removed.status, removed.out) == (0, "removed\n"), removed.err
    assert on.says("sha256sum", bundle) != with_authority
    after = listed(on)
    effects = {"/etc/site-agent", "/etc/site-base", "/etc/site-final"}
    assert {row.split()[0] for row in after["files"] - before["files"]} == effects
    after["files"] = {row for row in after["files"] if row.split()[0] not in effects}
    for name in LISTS:
        assert (name, after[name] - before[name], before[name] - after[name]) == (name, set(), set())
