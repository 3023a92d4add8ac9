"""The additions of a site in the plan: where its steps are, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bakery.bake.options import Options, make_plan
from bakery.image import bases, recipe
from bakery.store.explain import compare
from provisioner import plan as plans
from provisioner.actions import Put, Run
from provisioner.errors import BadInput
from provisioner.packages.repositories import Key, Repository, apt_entry
from provisioner.plan import Plan
from provisioner.roles import Context
from provisioner.roles.customization import Customization, SiteCommand, SiteFile, User
from provisioner.roles.seal import removed_by
from provisioner.roles.site import certificates, kernel
from tests import golden_plans, site

DEBIAN = bases.find("debian13", "x86_64")
FULL = site.full((site.repository(golden_plans.KEY),), golden_plans.AUTHORITY)


def planned(own: Customization, base: str = "debian13", kind: str = "osg", *, boots: bool = True) -> Plan:
    return recipe.plan(bases.find(base, "x86_64"), kind, boots=boots, customization=own)


def roles_of(plan: Plan) -> list[str]:
    return list(dict.fromkeys(step.role for step in plan.steps))


def puts(plan: Plan) -> dict[str, Put]:
    """The files as they are in the end."""
    found = [each for step in plan.steps for each in step.actions if isinstance(each, Put)]
    return {each.path: each for each in found}


# --- the steps ---------------------------------------------------------------------------------


def test_they_follow_the_base_and_precede_the_seal() -> None:
    assert roles_of(planned(FULL)) == ["base", "site_base", "condor", "osg_worker", "site", "seal"]
    container = site.full((), golden_plans.AUTHORITY, boots=False)
    roles = ["base", "site_base", "condor", "udocker", "container", "osg_worker", "site", "seal"]
    assert roles_of(planned(container, boots=False)) == roles


@pytest.mark.parametrize("base", golden_plans.SYSTEMS)
def test_without_a_customization_no_plan_changes(base: str) -> None:
    found = bases.find(base, "x86_64")
    assert planned(Customization(), base) == recipe.plan(found, "osg")
    assert planned(Customization(), base).id_after(0) == found.id


def test_a_site_that_changes_only_its_files_keeps_the_checkpoint_of_the_worker() -> None:
    other = replace(FULL, files=(SiteFile("/etc/other", b""),))
    pairs = zip(planned(FULL).steps, planned(other).steps, strict=False)
    same = {a.role for a, b in pairs if a.id == b.id}
    assert {"base", "site_base", "condor", "osg_worker"} <= same


@pytest.mark.parametrize("field", ["name", "version"])
def test_name_and_version_are_part_of_the_id(field: str) -> None:
    changed: dict[str, Any] = {field: "other"}
    assert planned(replace(FULL, **changed)).id != planned(FULL).id


def test_commands_are_in_the_order_of_their_phases() -> None:
    titles = [step.title for step in planned(FULL).steps if step.role in ("site_base", "site")]
    order = ["note the base", "install site-agent", "note the agent", "add the user agent", "note the end"]
    assert [title for title in titles if title in order] == order
    assert titles[-1] == "note the end"


def test_packages_without_a_repository_refresh_the_lists() -> None:
    own = Customization(packages=("b", "a"))
    titles = [step.title for step in planned(own).steps if step.role == "site"]
    assert titles == ["refresh the package lists", "install a, b"]


def test_in_a_container_there_are_no_units_and_no_homes_at_boot() -> None:
    own = Customization(services=(("a.service", "mask"), ("b.timer", "disable")), users=(User("alice"),))
    steps = [step for step in planned(own, boots=False).steps if step.role == "site"]
    assert [step.title for step in steps] == ["add the user alice"]


def test_a_flat_repository_of_apt_has_no_components() -> None:
    flat = Repository("x", "site", "", "", "http://x.example/", (Key("x"),), "./")
    assert "Components" not in apt_entry(flat)
    entry = apt_entry(replace(flat, suite="stable", components="main contrib"))
    assert "Suites: stable\nComponents: main contrib\nSigned-By: /etc/apt/keyrings/x.asc\n" in entry


def test_a_bundle_of_certificates_becomes_one_file_each() -> None:
    one = golden_plans.AUTHORITY
    own = Customization(ca_certificates=(("site", b"text\n" + one + b"\r\n" + one.replace(b"QQ", b"QR")),))
    files = certificates.files(Context("debian", customization=own))
    folder = "/usr/local/share/ca-certificates"
    assert files == {f"{folder}/site.crt": one, f"{folder}/site-2.crt": one.replace(b"QQ", b"QR")}


def test_kernel_arguments_are_recognized_by_their_step() -> None:
    steps = planned(FULL).steps
    marked = [step.title for step in steps if kernel.edits_boot_loader(step.actions)]
    assert marked == ["boot with mitigations=auto,nosmt site.tag=example"]
    el = planned(Customization(kernel_arguments=("a=b",)), "almalinux9")
    assert any(kernel.edits_boot_loader(step.actions) for step in el.steps)


def test_the_table_of_keys_differs_in_the_defaults_only() -> None:
    before = json.loads(puts(planned(Customization()))["/usr/lib/worker-bakery/keys.json"].data)
    after = json.loads(puts(planned(FULL))["/usr/lib/worker-bakery/keys.json"].data)
    changed = [
        (new["key"], new["default"])
        for old, new in zip(before["keys"], after["keys"], strict=True)
        if old != new and {**old, "default": ""} == {**new, "default": ""}
    ]
    assert sorted(changed) == sorted(FULL.worker)
    assert {**before, "keys": []} == {**after, "keys": []}
    prominence = planned(Customization(worker=(("PROMINENCE_IDLE_TIMEOUT", "60"),)), kind="prominence")
    assert b'"default": "60"' in puts(prominence)["/usr/lib/worker-bakery/keys.json"].data


# --- the root size -----------------------------------------------------------------------------

SIZED = Customization(root_size=8 << 30)


def test_the_root_size_is_part_of_every_id_and_of_the_plan_file() -> None:
    plan, plain = planned(SIZED), planned(Customization())
    assert [step.actions for step in plan.steps[:-1]] == [step.actions for step in plain.steps[:-1]]
    assert not {step.id for step in plan.steps} & {step.id for step in plain.steps}
    assert not {step.id for step in plan.steps} & {
        step.id for step in planned(Customization(root_size=9 << 30)).steps
    }
    assert plan.base_id == plain.base_id
    data = json.loads(json.dumps(plans.to_json(plan)))
    assert data["format"] == 1
    assert plans.from_json(data) == plan
    assert "root_size" not in plans.to_json(plain)
    with pytest.raises(BadInput, match="changed by hand"):
        plans.from_json({**data, "root_size": 9 << 30})


def test_a_changed_root_size_is_explained() -> None:
    (change,) = compare(planned(Customization()), planned(SIZED))
    assert (change.title, change.lines) == ("the size of the root, in bytes", ("-0", f"+{8 << 30}"))


# --- what is refused ---------------------------------------------------------------------------


def refused(own: Customization, *says: str, base: str = "debian13", boots: bool = True) -> None:
    with pytest.raises(BadInput) as caught:
        planned(own, base, boots=boots)
    for text in says:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (Customization(kernel_arguments=("a=b",)), "cannot have kernel arguments"),
        (Customization(sysctl=(("a.b", "1"),)), "docker run --sysctl"),
        (Customization(services=(("a.service", "mask"), ("b.service", "enable"))), "services: b.service"),
        (Customization(root_size=8 << 30), "cannot have a root size"),
    ],
)
def test_a_container_cannot_have_these(own: Customization, says: str) -> None:
    refused(own, says, boots=False)
    planned(own)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/tmp/x", "the seal removes /tmp/* (temporary files)"),
        ("/home/alice/.profile", "the seal removes /home/* (home directories)"),
        ("/etc/osg-worker.conf", "a worker's token and Start"),
        ("/root/.ssh/authorized_keys", "root's keys"),
        ("/var/log/site/agent.log", "/var/log (logs)"),
        ("/etc/apt/sources.list.d/site.sources", "the build machine's mirror"),
        ("/etc/passwd-", "backups of the user database"),
        ("/run/site/x", "/run is filled at boot"),
        ("/proc/x", "/proc is filled at boot"),
        ("/usr/lib/worker-bakery/keys.json", "belongs to the worker"),
        ("/usr/lib/worker-bakery/worker_runtime/new.py", "belongs to the worker"),
        ("/etc/condor/config.d/90-osg-worker.config", "belongs to the worker"),
        ("/etc/condor/config.d/10-worker.config", "by the role condor as well"),
        ("/etc/machine-id", "by the role seal as well"),
        ("/usr/bin/worker-image", "by the role osg_worker as well"),
        ("etc/x", "is not an absolute path"),
        ("/etc/../x", "is not an absolute path"),
        ("/etc/", "is not an absolute path"),
        ("/etc/a\nb", "is not an absolute path"),
    ],
)
def test_a_file_that_the_image_would_not_have_is_refused(path: str, says: str) -> None:
    refused(Customization(files=(SiteFile(path, b""),)), says)


@pytest.mark.parametrize(
    "path",
    ["/etc/condor/config.d/60-site.config", "/etc/apt/sources.list.d/worker-site.sources",
     "/srv/x", "/tmpx", "/etc/.hidden", "/root/.bashrc"],
)  # fmt: skip
def test_other_files_stay(path: str) -> None:
    assert removed_by(path) is None


def test_two_files_at_one_path_are_refused() -> None:
    one = SiteFile("/etc/x", b"")
    refused(Customization(files=(one, one)), "/etc/x would be written twice")
    refused(replace(FULL, files=(SiteFile("/etc/sysctl.d/60-site.conf", b""),)), "written twice")


PRIVATE = b"-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (Customization(files=(SiteFile("/etc/x", PRIVATE),)), "contains a private key"),
        (Customization(files=(SiteFile("/etc/x", b"", owner="alice"),)), "USER:GROUP"),
        (Customization(ca_certificates=(("x", PRIVATE + golden_plans.AUTHORITY),)), "a private key"),
        (Customization(ca_certificates=(("x", b"nothing"),)), "contains no certificate"),
        (Customization(ca_certificates=(("../x", golden_plans.AUTHORITY),)), "not a valid name"),
        (Customization(packages=("-o",)), "not a valid package"),
        (Customization(packages=("ssh-",)), "not a valid package"),
        (Customization(users=(User("Root"),)), "not a valid user"),
        (Customization(users=(User("slot1"),)), "one of the system or of HTCondor"),
        (Customization(users=(User("a", home="x"),)), "The home 'x' of the user a is not possible"),
        (Customization(users=(User("a", home="/var/tmp/a"),)), "would not be in the image"),
        (Customization(users=(User("a", groups=("a b",)),)), "not a valid group"),
        (Customization(services=(("a; b", "mask"),)), "not a valid unit"),
        (Customization(services=(("condor.service", "enable"),)), "belongs to the worker"),
        (Customization(services=(("worker-life.service", "mask"),)), "belongs to the worker"),
        (Customization(services=(("osg-worker.path", "disable"),)), "belongs to the worker"),
        (Customization(sysctl=(("a b", "1"),)), "not a valid kernel parameter"),
        (Customization(sysctl=(("a.b", "1\nx=1"),)), "must be one line"),
        (Customization(kernel_arguments=("a b",)), "not a valid kernel argument"),
        (Customization(kernel_arguments=('a="$x"',)), "not a valid kernel argument"),
        (Customization(condor=(("A B", "x"),)), "not a valid name of a setting"),
        (Customization(condor=(("A", "x \\"),)), "must be one line"),
        (Customization(condor=(("A", "x\nSTART = True"),)), "must be one line"),
        (Customization(condor=(("include", "x"),)), "a statement"),
        (Customization(condor=(("Start", "True"),)), "Set WORKER_GUARDS"),
        (Customization(condor=(("CONDOR_HOST", "x"),)), "the default of CentralManager"),
        (Customization(commands=(SiteCommand("both", ("a",), b"b"),)), "either argv or a script"),
        (Customization(commands=(SiteCommand("none"),)), "either argv or a script"),
        (Customization(repositories=(replace(site.repository(b""), keys=()),)), "has no key"),
        (Customization(repositories=(site.repository(b""),) * 2), "also defined by this definition"),
        (Customization(root_size=1 << 30), "The base debian13 has 4.3 GiB"),
        (Customization(root_size=(8 << 30) + 1), "in units of 512 bytes"),
        (Customization(root_size=1 << 60), "at most 16 TiB"),
        (Customization(worker=(("Idletimeout", "1"),)), "Did you mean IdleTimeout"),
        (Customization(worker=(("IdleTimeout", "soon"),)), "IdleTimeout is not a whole number of seconds"),
        (Customization(worker=(("Start", "a == (b"),)), "Start has an unclosed ("),
        (Customization(worker=(("OnIdle", "reboot"),)), "OnIdle is not one of"),
        (Customization(worker=(("CentralManager", "a b"),)), "not a host address"),
        (Customization(worker=(("WorkerGroupName", ""),)), "WorkerGroupName is empty"),
        (Customization(worker=(("Token", "abc"),)), "must not contain secrets"),
        (Customization(worker=(("TokenFile", "/a"), ("TokenCommand", "/b"))), "Only one of"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_values_that_cannot_be_in_an_image_are_refused(own: Customization, says: str) -> None:
    refused(own, says)


def test_a_repository_of_the_base_is_not_replaced() -> None:
    taken = replace(site.repository(golden_plans.KEY), id="epel")
    refused(
        Customization(repositories=(taken,)), "also defined by the plan of this base", base="almalinux9"
    )


def test_a_token_in_a_script_is_refused() -> None:
    token = ".".join(("eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiJhQGIifQ", "c2lnbmF0dXJlc2lnbmF0dXJl"))
    script = SiteCommand("x", script=f"#!/bin/sh\necho {token}\n".encode())
    with pytest.raises(BadInput, match="contains a token"):
        make_plan(Options(customization=Customization(commands=(script,))))


def test_the_words_of_a_site_are_arguments_and_no_part_of_a_script() -> None:
    own = Customization(users=(User("alice", shell="/bin/alice-shell"),), kernel_arguments=("alice=1",))
    runs = [each for step in planned(own).steps for each in step.actions if isinstance(each, Run)]
    scripts = [run.argv[2] for run in runs if run.argv[0] == "sh"]
    assert not [script for script in scripts if "alice" in script]
