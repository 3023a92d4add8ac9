"""bake-image --explain: which steps of a plan are cached, and what changed since the last bake. Read-only.

The plan is compared with the earlier plan of the same base name and kind that shares the most leading
steps; among equals, with the latest. Manifests of images and checkpoints contain whole plans.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from bakery.store.store import DISKS, Store, is_intact, read_manifest
from provisioner import plan as plans
from provisioner.actions import Action, Put, Run
from provisioner.errors import BadInput
from provisioner.plan import STAMP, Plan, PlannedStep
from provisioner.process.scrub import scrub, shown

How = Literal["added", "removed", "changed"]


@dataclass(frozen=True)
class Change:
    """A difference between two plans; `lines` are its details: for changed files a unified diff."""

    how: How
    role: str
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """A plan in the store and the time when it was baked (ISO 8601)."""

    plan: Plan
    made: str


@dataclass(frozen=True)
class Explanation:
    """`cached` is the number of leading steps in the cache, `by` the file that has them ("" if none).

    `base` is whether the base is cached; `earlier` is None without a plan to compare with.
    """

    plan: Plan
    base: bool
    cached: int
    by: str
    earlier: Earlier | None = None
    changes: tuple[Change, ...] = ()


def explain(plan: Plan, store: Store) -> Explanation:
    """Compare a plan with the store."""
    base = is_intact(store.base(plan.base_id))
    if any(is_intact(store.image(plan, suffix)) for suffix in DISKS):
        return Explanation(plan, base, len(plan.steps), f"image {plan.image}")
    done, path = store.latest_checkpoint(plan)
    if done and not base:
        done = 0  # rebuilding the base removes its checkpoints
    by = f"checkpoint {path.stem[:12]}" if done else ""
    earlier = nearest_plan(plan, stored_plans(store))
    changes = tuple(compare(earlier.plan, plan)) if earlier else ()
    return Explanation(plan, base, done, by, earlier, changes)


def stored_plans(store: Store) -> Iterator[Earlier]:
    """Yield the plans of all images and checkpoints in the store."""
    for folder in ("images", "checkpoints"):
        for path in sorted((store.root / folder).glob("*.json")):
            disks = (path.with_suffix(suffix) for suffix in DISKS)
            manifest = next(filter(None, map(read_manifest, disks)), {})
            try:
                yield Earlier(plans.from_json(manifest["plan"]), manifest["made"])
            except (KeyError, TypeError, ValueError, BadInput):
                continue  # written by another version of this program


def nearest_plan(plan: Plan, candidates: Iterable[Earlier]) -> Earlier | None:
    """Return the earlier plan that shares the most leading steps with `plan`, or None."""
    alike = [one for one in candidates if (one.plan.base, one.plan.kind) == (plan.base, plan.kind)]
    return max(alike, key=lambda one: (_shared(plan, one.plan), one.made), default=None)


def _shared(one: Plan, other: Plan) -> int:
    """Count the leading steps with equal actions, whatever their base."""
    pairs = list(zip(one.steps, other.steps, strict=False))
    return next((n for n, (a, b) in enumerate(pairs) if a.actions != b.actions), len(pairs))


# --- the difference of two plans ---------------------------------------------------------------


def compare(old: Plan, new: Plan) -> Iterator[Change]:
    """Yield the differences in the order of the steps.

    The stamp is left out: it contains the ids of all other steps.
    """
    if old.base_id != new.base_id:
        lines = (f"-{old.base_id}", f"+{new.base_id}")
        yield Change("changed", "base", f"the base {new.base} was replaced", lines)
    if old.root_size != new.root_size:
        sizes = (f"-{old.root_size}", f"+{new.root_size}")
        yield Change("changed", "base", "the size of the root, in bytes", sizes)
    before, after = ([step for step in plan.steps if step.title != STAMP] for plan in (old, new))
    matcher = difflib.SequenceMatcher(None, [_key(step) for step in before], [_key(step) for step in after])
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            yield from _changed(before[i:j], after[k:m])
        else:
            yield from (_whole_step("removed", step) for step in before[i:j])
            yield from (_whole_step("added", step) for step in after[k:m])


def _key(step: PlannedStep) -> tuple[str, str]:
    return step.role, step.title


def _changed(before: list[PlannedStep], after: list[PlannedStep]) -> Iterator[Change]:
    for old, new in zip(before, after, strict=True):
        if old.actions != new.actions:
            yield Change("changed", new.role, new.title, tuple(_action_lines(old.actions, new.actions)))


def _whole_step(how: How, step: PlannedStep) -> Change:
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
        yield f"{path}: mode {old.mode:04o} → {new.mode:04o}"
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
    """Decode UTF-8 text; None for binary data."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _unified(old: str, new: str, old_name: str, new_name: str) -> Iterator[str]:
    # Scrub the whole text: a secret may span several lines.
    was, now = scrub(old).splitlines(), scrub(new).splitlines()
    yield from difflib.unified_diff(was, now, old_name, new_name, lineterm="")


# --- for programs ------------------------------------------------------------------------------


def to_json(found: Explanation) -> dict[str, Any]:
    """Return the explanation as `--explain --json` prints it."""
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
    """Yield the lines that `--explain` prints."""
    plan, first = found.plan, found.cached
    yield f"{plan.kind} worker on {plan.base}, id {plan.id[:12]}"
    yield f"{'cached' if found.base else 'to do':<7} base {plan.base_id[:12]}"
    for number, step in enumerate(plan.steps):
        yield f"{'cached' if number < first else 'to do':<7} {step.id[:12]}  {step.role}: {step.title}"
    yield ""
    if first:
        yield f"{first} of {len(plan.steps)} steps are cached in {found.by}."
    else:
        yield "No step is cached."
    if first < len(plan.steps):
        yield from _explain_changes(found)


def _explain_changes(found: Explanation) -> Iterator[str]:
    step = found.plan.steps[found.cached]
    yield f"First step to run: {step.role}: {step.title}."
    if found.earlier is None:
        yield "The cache contains no earlier plan with this base and kind."
        return
    yield f"Changes since {found.earlier.plan.image}, baked {found.earlier.made}:"
    if not found.changes:
        yield "  none; the image is no longer in the cache."
    for change in found.changes:
        yield f"\n  {change.how}: {change.role}: {change.title}"
        yield from (f"    {line}" for line in change.lines)
