"""Exit codes, bases, clouds, pools and environment variables, each from the table in the program."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from bakery.base_proofs import record, result_file
from bakery.commands.command_line.settings import KEYS, VARIABLES
from bakery.image import bases
from bakery.runtime import data
from bakery.userdata import pools
from bakery.userdata.delivery.clouds import CLOUDS, Cloud
from provisioner import errors
from tools.reference.markdown import ROOT, Outdated, code, codes, described, page, table, texts


def pages() -> dict[str, str]:
    return {
        "exit-codes.md": page("exit-codes", codes=exit_codes()),
        "bases.md": page("bases", bases=known_bases(), proofs=base_proofs(), fields=fields_of_a_base()),
        "clouds.md": page("clouds", clouds=clouds()),
        "pools.md": page("pools", pools=known_pools(), sources=sources(), fields=fields_of_a_pool()),
        "environment.md": page("environment", **environment()),
    }


def exit_codes() -> str:
    """From the exception classes. Raises Outdated."""
    classes = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.BakeryError) and kind is not errors.BakeryError
    }
    ordered = sorted(classes, key=lambda name: int(_codes_of(name, classes[name]).split(",")[0]))
    sentences = described("exit codes", ordered, texts("exit-codes"))
    rows = [(_codes_of(name, classes[name]), code(name), text) for name, text in sentences]
    return table(("code", "class", "meaning"), [("0", "", "Success."), *rows])


def _codes_of(name: str, kind: type[errors.BakeryError]) -> str:
    if kind is errors.Interrupted:
        return ", ".join(str(errors.Interrupted(number).exit_code) for number in (2, 15))
    return str(kind.exit_code)


# --- bases -------------------------------------------------------------------------------------


def known_bases() -> str:
    header = ("base", "architectures", "end of life", "root", "firmware", "login", "HTCondor", "tested")
    return table(header, [_base(base) for base in bases.known()])


def _base(base: bases.Base) -> tuple[str, ...]:
    """`bases.read` leaves out BIOS on an aarch64 machine; the page must not depend on that."""
    firmware = tomllib.loads((data.BASES / f"{base.name}.toml").read_text())["firmware"]
    return (
        code(base.name) + (" (default)" if base.name == bases.DEFAULT else ""),
        ", ".join(base.architectures),
        base.end_of_life,
        base.file_system,
        ", ".join(firmware),
        code(base.login),
        base.htcondor,
        record.summary(_record(base), _as_proven(base)),
    )


def base_proofs() -> str:
    """What `worker-bakery bases --prove` has recorded, from packer/proofs.json."""
    header = ("base", "proven level", "date", "architecture", "HTCondor", "kernel", "cloud-init",
              "worker-bakery", "seconds", "not shown")  # fmt: skip
    rows = [_proof(base.name, _record(base)) for base in bases.known()]
    return table(header, [row for row in rows if row])


def _record(base: bases.Base) -> record.Record:
    return result_file.read().get(base.name, record.Record())


def _as_proven(base: bases.Base) -> bases.Base:
    """The base for the architecture of its proof; the page must not depend on this machine's."""
    proof = _record(base).proof
    return bases.find(base.name, proof.architecture) if proof else base


def _proof(name: str, found: record.Record) -> tuple[str, ...]:
    """The row of a base that was proven or tried; () for others."""
    if found.proof is None and found.not_tried is None:
        return ()
    proof = found.proof or record.Proof(at="", architecture="", image="", versions={})
    missing = [f"failed: {proof.failed}"] if proof.failed else []
    if found.not_tried:
        missing.append(f"{found.not_tried.reason} on {record.day(found.not_tried.at)}")
    return (
        code(name),
        proof.level if found.proof else "none",
        record.day(proof.at),
        proof.architecture,
        *(proof.versions.get(what, "") for what in ("HTCondor", "kernel", "cloud-init", "worker-bakery")),
        ", ".join(f"{what} {seconds:.0f}" for what, seconds in proof.seconds.items()),
        "; ".join(missing),
    )


def fields_of_a_base() -> str:
    used = [key for path in sorted(data.BASES.glob("*.toml")) for key in tomllib.loads(path.read_text())]
    sentences = texts("bases")
    ordered = sorted(set(used), key=lambda key: list(sentences).index(key) if key in sentences else 99)
    rows = described("keys of a base", ordered, sentences)
    return table(("key", "meaning"), [(code(name), text) for name, text in rows])


# --- clouds ------------------------------------------------------------------------------------


def clouds() -> str:
    places = described("clouds", CLOUDS, texts("clouds"))
    rows = [(code(name), *_limits(CLOUDS[name]), place) for name, place in places]
    return table(("cloud", "limit in bytes", "`--gzip`", "`--base64`", "where to paste it"), rows)


def _limits(cloud: Cloud) -> tuple[str, str, str]:
    limit = f"{cloud.limit} of base64" if cloud.counts_base64 else str(cloud.limit)
    gzip = "yes" if cloud.plain_gzip else "with `--base64`" if cloud.base64 else "no"
    return limit, gzip, "yes" if cloud.base64 else "no"


# --- pools -------------------------------------------------------------------------------------


def known_pools() -> str:
    header = ("pool", "title", "central managers", "CCB servers", "trust domain", "tokens")
    rows = [
        (
            code(pool.name),
            pool.title,
            codes(pool.managers),
            codes(pool.brokers) if pool.brokers != pool.managers else "the same",
            code(pool.trust_domain) or "not public",
            f"<{pool.registry}>" if pool.registry else "",
        )
        for pool in pools.built_in()
    ]
    return table(header, rows)


def sources() -> str:
    found = dict.fromkeys(source for pool in pools.built_in() for source in pool.sources)
    return "\n".join(f"- {source}" for source in found)


def fields_of_a_pool() -> str:
    rows = described("keys of a pool", (field.name for field in fields(pools.Pool)), texts("pools"))
    return table(("key", "meaning"), [(code(name), text) for name, text in rows])


# --- environment -------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """Raises Outdated for a variable that no source file names."""
    sentences = texts("environment")
    settings = described("settings", KEYS, sentences.pop("settings"))
    where = {"build": ("bakery", "provisioner"), "worker": ("worker",)}
    for group, rows in sentences.items():
        _check_names(rows, where[group])
    rows = [(code(key), code(VARIABLES[key]), text) for key, text in settings]
    known = {group: _variables(variables) for group, variables in sentences.items()}
    return {**known, "settings": table(("key", "variable", "default of"), rows)}


def _variables(rows: dict[str, Any]) -> str:
    return table(("variable", "meaning"), [(code(name), text) for name, text in rows.items()])


def _check_names(names: Iterable[str], folders: Iterable[str]) -> None:
    program = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    for name in names:
        if f'"{name}"' not in program:
            raise Outdated(f"environment: no program reads {name}.")
