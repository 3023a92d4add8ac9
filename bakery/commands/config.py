"""worker-bakery config: show the settings in force and where each comes from."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general
from bakery.commands.command_line.settings import KEYS, VARIABLES, Setting, Settings


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery config") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Show the defaults that the configuration file and the environment variables set. An option on "
        "the command line takes precedence over a variable, and a variable over the file. If the "
        "name of the pool is misspelled, the command shows the settings and fails.",
        examples=(
            "%(prog)s",
            "WORKER_BAKERY_POOL=ospool %(prog)s --json",
            "echo 'cloud = \"openstack\"' >>~/.config/worker-bakery/config.toml",
        ),
    )
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    """Raises BadInput for a misspelled pool, after the settings are shown."""
    found = settings.read(os.environ)
    _show(found, as_json=options.json)
    sys.stdout.flush()
    _check_pool(found.pool, as_json=options.json)
    return 0


def _check_pool(pool: Setting, *, as_json: bool) -> None:
    """Warn of a name that userdata takes for a host's. Raises BadInput where userdata refuses the name."""
    from bakery.userdata import pools

    if not pool.value or pools.find(pool.value) or set(pool.value) & set(".:[,"):
        return
    names = ", ".join(pools.names(pools.known()))
    what = f"{pool.source}: there is no pool {pool.value!r}; it is used as the name of a host."
    entry.warn(f"{what} The pools are {names}.", as_json=as_json)


def _show(found: Settings, *, as_json: bool) -> None:
    path = settings.location(os.environ)
    rows = tuple(_rows(found))
    if as_json:
        shown = {key: {"value": value, "source": source} for key, value, source in rows}
        print(json.dumps({"file": str(path), "exists": settings.exists(path), "settings": shown}))
        return
    print(f"{path}{'' if settings.exists(path) else ' (does not exist)'}")
    width = max(len(value) for _, value, _ in rows)
    for key, value, source in rows:
        print(f"{key:<15} {value or '-':<{width}}  {source}")


def _rows(found: Settings) -> Iterator[tuple[str, str, str]]:
    """Each key, its value ("" for none) and the source of the value."""
    defaults = _defaults()
    for key, setting in zip(KEYS, found, strict=True):
        source = f"default; {VARIABLES[key]} sets it"
        yield key, setting.value or defaults[key], setting.source or source


def _defaults() -> dict[str, str]:
    """What holds for a key that nothing sets; "" where that depends on the pool or the machine."""
    from bakery.store import store
    from bakery.userdata import pools

    return dict.fromkeys(KEYS, "") | {
        "pool": pools.built_in()[0].name,
        "cache": str(store.default_root()),
    }


if __name__ == "__main__":
    sys.exit(main())
