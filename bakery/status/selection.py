"""Which workers: attributes and their values, and the constraint of a query. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from provisioner import did_you_mean
from provisioner.errors import BadInput

# Of each option, the attribute that a worker advertises (`advertise` in its keys.json).
ATTRIBUTES: Mapping[str, str] = {
    "group": "WorkerGroupName",
    "cloud": "ProminenceCloud",
    "region": "ProminenceRegion",
    "node_group": "ProminenceNodeGroup",
}


@dataclass(frozen=True)
class Selection:
    """The workers whose attributes have these values; `wanted` holds pairs of attribute and value."""

    wanted: tuple[tuple[str, str], ...]

    @property
    def constraint(self) -> str:
        """A ClassAd expression that is true for the slots of these workers."""
        return " && ".join(f"{name} == {classad_string(value)}" for name, value in self.wanted)

    @property
    def candidates(self) -> str:
        """A ClassAd expression that is true for all slots that have one of these attributes."""
        return " || ".join(f"{name} =!= undefined" for name, _ in self.wanted)

    def __str__(self) -> str:
        return " and ".join(f"{name} {value}" for name, value in self.wanted)


def of_options(values: Mapping[str, str | None]) -> Selection:
    """Return the selection of option values, by the names of ATTRIBUTES.

    Raises BadInput: there are none, those of two kinds of workers, or a value that no worker can have.
    """
    given = {option: value for option, value in values.items() if value is not None}
    if not given:
        raise BadInput("No workers are selected.", "Use --group NAME, or for PROMINENCE --cloud NAME.")
    if "group" in given and len(given) > 1:
        raise BadInput(
            "--group does not apply to workers of PROMINENCE.", "Use --cloud, --region and --node-group."
        )
    for option, value in given.items():
        if not value or not value.isprintable():
            flag = f"--{option.replace('_', '-')}"
            raise BadInput(f"{flag} must be one line of printable text.", "Quote the name in the shell.")
    return Selection(tuple((ATTRIBUTES[option], value) for option, value in given.items()))


def classad_string(text: str) -> str:
    """Quote printable text as a string of the ClassAd language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def suggestion(selection: Selection, known: Iterable[Mapping[str, object]]) -> str:
    """Name the similar values, or all if they are few, that other workers of the pool have."""
    ads = tuple(known)
    sentences = (_suggest(name, value, ads) for name, value in selection.wanted)
    return " ".join(filter(None, sentences))


def _suggest(name: str, value: str, ads: Sequence[Mapping[str, object]]) -> str:
    found = sorted({text for ad in ads if isinstance(text := ad.get(name), str) and text.isprintable()})
    if not found or value.casefold() in map(str.casefold, found):
        return ""
    if question := did_you_mean.did_you_mean(value, found):
        return question
    listed = ", ".join(found[:5]) + (f" and {len(found) - 5} others" if len(found) > 5 else "")
    return f"The pool has workers with {name} {listed}."
