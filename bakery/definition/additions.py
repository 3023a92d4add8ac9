"""The keys of an image as provisioner.roles.customization.Customization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from bakery.definition import content, model, settings
from bakery.definition.beside import Folder
from bakery.definition.mistakes.positions import Path
from bakery.definition.mistakes.problems import Wrong, name
from bakery.output.formats import FORMATS
from provisioner.packages.repositories import Repository
from provisioner.roles.customization import Customization, SiteCommand, SiteFile, User
from provisioner.roles.site import checks

State = Literal["enable", "disable", "mask"]
UNITS = {"G": 2**30, "M": 2**20, "T": 2**40}


def customization(image: model.Image, label: str, folder: Folder) -> Customization:
    """Read the files that the image names, and check what the structure does not show. Raises Wrong."""
    own = Customization(
        name=label if image.name else "",
        version=image.version,
        packages=tuple(dict.fromkeys(image.packages)),
        repositories=tuple(_repositories(image.repositories, folder)),
        files=tuple(_files(image, folder)),
        users=tuple(_users(image.users)),
        services=tuple(_services(image.services)),
        sysctl=settings.sysctl(image.sysctl),
        kernel_arguments=tuple(dict.fromkeys(image.kernel_arguments)),
        ca_certificates=tuple(_certificates(image.ca_certificates, folder)),
        commands=tuple(_commands(image.commands, folder)),
        worker=settings.worker(image.worker_defaults, image.worker),
        condor=settings.condor(image.condor),
        root_size=size(image.root_size),
    )
    for found in checks.mistakes(own, boots=FORMATS[image.format].boots):
        place = _in_definition(found.place, image)
        raise Wrong(place, f"{name(place)}: {found.message}", found.hint)
    return own


def _in_definition(place: Path, image: model.Image) -> Path:
    """The place in the definition of a place in its customization."""
    table, *rest = str(place[0]).replace("_", "-"), *place[1:]
    if table == "services":
        return table, *next((at for at, unit in _units(image.services) if unit in rest), ())
    if table in ("packages", "kernel-arguments") and rest:
        words = image.packages if table == "packages" else image.kernel_arguments
        return table, words.index(list(dict.fromkeys(words))[int(rest[0])])  # without the repeated ones
    return table, *rest


def size(text: str) -> int:
    """A size in bytes: the units are powers of 1024, as those of qemu-img."""
    return int(text[:-1]) * UNITS[text[-1]] if text else 0


def _repositories(found: Sequence[model.Repository], folder: Folder) -> Iterator[Repository]:
    _refuse_duplicates("repositories", "id", (one.id for one in found))
    for number, one in enumerate(found):
        key = content.key_of(("repositories", number), one, folder)
        yield Repository(
            id=one.id,
            role="site",
            file=f"site-{one.id}",
            title=one.title or one.id,
            url=one.url,
            keys=(key,),
            suite=one.suite,
            exclude=one.exclude,
            components=one.components,
        )


def _files(image: model.Image, folder: Folder) -> Iterator[SiteFile]:
    _refuse_duplicates("files", "path", (one.path for one in image.files))
    for number, one in enumerate(image.files):
        place: Path = ("files", number)
        data = content.of_file(place, one, image.variables, folder)
        yield SiteFile(one.path, data, int(one.mode, 8), one.owner)


def _users(found: Sequence[model.User]) -> Iterator[User]:
    _refuse_duplicates("users", "name", (one.name for one in found))
    _refuse_duplicates("users", "uid", (one.uid for one in found))
    for one in found:
        yield User(one.name, one.uid, one.home, one.shell, tuple(dict.fromkeys(one.groups)), one.system)


def _services(found: model.Services) -> Iterator[tuple[str, State]]:
    states: dict[str, State] = {}
    for (state, number), unit in _units(found):
        if states.get(unit, state) != state:
            message = f"{unit} is in services.{states[unit]} and in services.{state}."
            raise Wrong(("services", state, number), message, "Remove one of them.")
        states[unit] = state
    yield from states.items()


def _units(found: model.Services) -> Iterator[tuple[tuple[State, int], str]]:
    """The full names of the units with their places in [services]."""
    wanted: tuple[tuple[State, tuple[str, ...]], ...] = (
        ("enable", found.enable),
        ("disable", found.disable),
        ("mask", found.mask),
    )
    for state, units in wanted:
        for number, text in enumerate(units):
            yield (state, number), text if "." in text.rpartition("@")[2] else f"{text}.service"


def _certificates(found: Sequence[str], folder: Folder) -> Iterator[tuple[str, bytes]]:
    read = [
        content.certificate(("ca-certificates", number), text, folder) for number, text in enumerate(found)
    ]
    for number, (stem, _) in enumerate(read):
        if stem in [other for other, _ in read[:number]]:
            place: Path = ("ca-certificates", number)
            raise Wrong(
                place, f"ca-certificates contains two files with the name {stem}.", "Rename one of them."
            )
    yield from read


def _commands(found: Sequence[model.Command], folder: Folder) -> Iterator[SiteCommand]:
    for number, one in enumerate(found):
        argv, script = content.of_command(("commands", number), one, folder)
        yield SiteCommand(one.title, argv, script, one.phase)


def _refuse_duplicates(table: str, key: str, values: Iterable[object]) -> None:
    """Raise Wrong if two tables of an array have one value; an empty value may be repeated."""
    before: list[object] = []
    for number, value in enumerate(values):
        if value and value in before:
            hint = f"The other is {name((table, before.index(value)))}."
            raise Wrong((table, number, key), f"{table} contains two with the {key} {value}.", hint)
        before.append(value)
