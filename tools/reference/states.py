"""The states of a worker and the actions that end it, found by asking the guest's own functions."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from itertools import product

from bakery.runtime import data
from tools.reference.markdown import code, described, page, table, texts

_RUNTIME = data.WORKER / "common/usr/lib/worker-bakery"
# What is in that folder is copied into images.
sys.dont_write_bytecode = sys.pycache_prefix is None
sys.path.append(str(_RUNTIME))
from worker_runtime.lifecycle import states as life  # noqa: E402

_TIMES = (10.0, 70.0, 500.0, 5000.0, 50_000.0, 70_000.0, 90_000.0)
_LIMITS = life.Limits(
    configuration=3600,
    join=900,
    idle=1500,
    lifetime=86400,
    retirement=21600,
    watchdog=900,
    login=3600,
)


def pages() -> dict[str, str]:
    sentences = texts("states")
    states = described("states", sorted(found_states(), key=_order), sentences["states"])
    actions = described("actions", sorted(found_actions(), key=_order), sentences["actions"])
    return {
        "states.md": page(
            "states",
            states=table(
                ("state", "meaning", "limit", "then the worker"),
                [(code(name), *row) for name, row in states],
            ),
            actions=table(("action", "meaning"), [(code(name), text) for name, text in actions]),
        )
    }


def _order(name: str) -> int:
    """That of the sentences; unknown names come last."""
    names = [name for group in texts("states").values() for name in group]
    return names.index(name) if name in names else len(names)


def found_states() -> set[str]:
    """Every state that the worker reports for some situation, or that its programs name."""
    reported = {
        life.evaluate(memory, facts, _LIMITS)[0].state for facts, memory in product(_facts(), _memories())
    }
    return reported | set(_named())


def _named() -> Iterator[str]:
    """The first arguments of all `Status("…", …)`."""
    for path in sorted(_RUNTIME.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == life.Status.__name__:
                name = node.args[0] if node.args else None
                if isinstance(name, ast.Constant) and name.value:
                    yield str(name.value)


def found_actions() -> set[str]:
    """Everything that is done, in some situation, about a worker that shuts down."""
    draining = life.Memory(ending=1.0, reason="a reason")
    going = draining._replace(drained=1.0)
    return {
        life.next_action(memory, facts, _LIMITS, logins, on_idle)
        for memory, facts, logins, on_idle in product(
            (draining, going), _facts(), (0, 1), ("poweroff", "delete", "stop")
        )
    }


def _memories() -> tuple[life.Memory, ...]:
    return (life.Memory(), life.Memory(configured=5, startd="x", answered=9, began=9, joined=9))


def _facts() -> Iterator[life.Facts]:
    for now, answers in product(_TIMES, product((False, True), repeat=6)):
        configured, active, left, startd, claimed, seen = answers
        yield life.Facts(
            now=now,
            configured=5 if configured else 0,
            unit="active" if active else "inactive",
            exited=left,
            startd="x" if startd else "",
            claimed=int(claimed),
            in_pool=seen,
            obstacle="",
        )
