"""bake-image --explain: which steps of a plan are kept, and what changed since the last. It only reads.

The nearest earlier plan is the one of the same base's name and kind that shares the most steps,
of several the last made. Manifests of images and checkpoints hold whole plans.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from bakery.store.store import DISKS, Store, is_whole, read_manifest
from provisioner import plan as plans
from provisioner.actions import Action, Put, Run
from provisioner.errors import BadInput
from provisioner.plan import STAMP, Plan, PlannedStep
from provisioner.process.scrub import scrub, shown

How = Literal["added", "removed", "changed"]


@dataclass(frozen=True)
class Change:
    """`lines` is what to show below it: of changed files a unified diff."""

    how: How
    role: str
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """A plan that the store knows, and when it was baked (ISO 8601)."""

    plan: Plan
    made: str


@dataclass(frozen=True)
class Explanation:
    """`cached` is the number of leading steps nobody has to do, `by` what has them ("" for nothing).

    `earlier` is None when there is nothing to compare with, or no need to.
    """

    plan: Plan
    base: bool
    cached: int
    by: str
    earlier: Earlier | None = None
    changes: tuple[Change, ...] = ()


def explain(plan: Plan, store: Store) -> Explanation:
    base = is_whole(store.base(plan.base_id))
    if any(is_whole(store.image(plan, suffix)) for suffix in DISKS):
        return Explanation(plan, base, len(plan.steps), f"image {plan.image}")
    done, path = store.nearest_checkpoint(plan)
    if done and not base:
        done = 0  # when the base is made anew, its checkpoints go
    by = f"checkpoint {path.stem[:12]}" if done else ""
    earlier = nearest(plan, known(store))
    changes = tuple(compare(earlier.plan, plan)) if earlier else ()
    return Explanation(plan, base, done, by, earlier, changes)


def known(store: Store) -> Iterator[Earlier]:
    for folder in ("images", "checkpoints"):
        for path in sorted((store.root / folder).glob("*.json")):
            disks = (path.with_suffix(suffix) for suffix in DISKS)
            manifest = next(filter(None, map(read_manifest, disks)), {})
            try:
                yield Earlier(plans.from_json(manifest["plan"]), manifest["made"])
            except (KeyError, TypeError, ValueError, BadInput):
                continue  # of another version; it cannot be compared


def nearest(plan: Plan, candidates: Iterable[Earlier]) -> Earlier | None:
    alike = [one for one in candidates if (one.plan.base, one.plan.kind) == (plan.base, plan.kind)]
    return max(alike, key=lambda one: (_shared(plan, one.plan), one.made), default=None)


def _shared(one: Plan, other: Plan) -> int:
    """Leading steps that do the same, over whichever base."""
    pairs = list(zip(one.steps, other.steps, strict=False))
    return next((n for n, (a, b) in enumerate(pairs) if a.actions != b.actions), len(pairs))


# --- the difference of two plans ---------------------------------------------------------------


def compare(old: Plan, new: Plan) -> Iterator[Change]:
    """What differs, in the order of the steps. The stamp is left out: it names what all others are."""
    if old.base_id != new.base_id:
        lines = (f"-{old.base_id}", f"+{new.base_id}")
        yield Change("changed", "base", f"the base {new.base} itself is another", lines)
    before, after = ([step for step in plan.steps if step.title != STAMP] for plan in (old, new))
    matcher = difflib.SequenceMatcher(None, [_key(step) for step in before], [_key(step) for step in after])
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            yield from _changed(before[i:j], after[k:m])
        else:
            yield from (_one("removed", step) for step in before[i:j])
            yield from (_one("added", step) for step in after[k:m])


def _key(step: PlannedStep) -> tuple[str, str]:
    return step.role, step.title


def _changed(before: list[PlannedStep], after: list[PlannedStep]) -> Iterator[Change]:
    for old, new in zip(before, after, strict=True):
        if old.actions != new.actions:
            yield Change("changed", new.role, new.title, tuple(_action_lines(old.actions, new.actions)))


def _one(how: How, step: PlannedStep) -> Change:
    old, new = (step.actions, ()) if how == "removed" else ((), step.actions)
    return Change(how, step.role, step.title, tuple(_action_lines(old, new)))


def _action_lines(old: tuple[Action, ...], new: tuple[Action, ...]) -> Iterator[str]:
    yield from _unified(_commands(old), _commands(new), "commands", "commands")
    was, now = ({a.path: a for a in side if isinstance(a, Put)} for side in (old, new))
    for path in sorted(was | now):
        yield from _file_lines(was.get(path), now.get(path), path)


def _commands(actions: tuple[Action, ...]) -> str:
    return "\n".join(shown(action.argv) for action in actions if isinstance(action, Run))


def _file_lines(old: Put | None, new: Put | None, path: str) -> Iterator[str]:
    if old == new:
        return
    if old and new and old.mode != new.mode:
        yield f"{path}: mode {old.mode:04o} is {new.mode:04o} now"
    was, now = (_text(side.data) if side else "" for side in (old, new))
    if was is not None and now is not None:
        yield from _unified(was, now, path if old else "/dev/null", path if new else "/dev/null")
    elif old is None or new is None or old.data != new.data:
        yield f"-{_digest(old, path)}"
        yield f"+{_digest(new, path)}"


def _digest(side: Put | None, path: str) -> str:
    if side is None:
        return "/dev/null"
    return f"{path}: {len(side.data)} bytes, sha256 {hashlib.sha256(side.data).hexdigest()}"


def _text(data: bytes) -> str | None:
    """None for what is no text."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _unified(old: str, new: str, old_name: str, new_name: str) -> Iterator[str]:
    # Scrubbed as a whole: a secret may have more lines than one.
    was, now = scrub(old).splitlines(), scrub(new).splitlines()
    yield from difflib.unified_diff(was, now, old_name, new_name, lineterm="")


# --- for programs ------------------------------------------------------------------------------


def to_json(found: Explanation) -> dict[str, Any]:
    earlier = found.earlier
    return {
        "id": found.plan.id,
        "image": found.plan.image,
        "base": {"id": found.plan.base_id, "cached": found.base},
        "cached": {"steps": found.cached, "by": found.by},
        "steps": [
            {"role": step.role, "title": step.title, "id": step.id, "cached": number < found.cached}
            for number, step in enumerate(found.plan.steps)
        ],
        "earlier": {"image": earlier.plan.image, "made": earlier.made} if earlier else None,
        "changes": [
            {"how": change.how, "role": change.role, "title": change.title, "lines": list(change.lines)}
            for change in found.changes
        ],
    }


def to_text(found: Explanation) -> Iterator[str]:
    plan, first = found.plan, found.cached
    yield f"{plan.kind} worker on {plan.base}, id {plan.id[:12]}"
    yield f"{'cached' if found.base else 'to do':<7} base {plan.base_id[:12]}"
    for number, step in enumerate(plan.steps):
        yield f"{'cached' if number < first else 'to do':<7} {step.id[:12]}  {step.role}: {step.title}"
    yield ""
    if first:
        yield f"{first} of {len(plan.steps)} steps are cached, by {found.by}."
    else:
        yield "No step is cached."
    if first < len(plan.steps):
        yield from _why(found)


def _why(found: Explanation) -> Iterator[str]:
    step = found.plan.steps[found.cached]
    yield f"The first that is not: {step.role}: {step.title}."
    if found.earlier is None:
        yield "The store knows no earlier plan of this base and kind to compare with."
        return
    yield f"Against the nearest earlier plan, {found.earlier.plan.image}, baked {found.earlier.made}:"
    if not found.changes:
        yield "  nothing changed, but the image is not kept any more."
    for change in found.changes:
        yield f"\n  {change.how}: {change.role}: {change.title}"
        yield from (f"    {line}" for line in change.lines)
