"""What a customization cannot ask for: what this kind of image does not have, or would not keep.

Customizations can be made without a definition file, so the forms of values that become arguments of
programs or lines of files are checked here. The reader of definition files asks for the same mistakes, and
names the line of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from provisioner.errors import BadInput
from provisioner.roles import Context
from provisioner.roles.customization import Customization, SiteCommand, SiteFile, User
from provisioner.roles.seal import Trace, removed_by
from provisioner.roles.site import accounts, certificates

# Not part of an image: the kernel or the boot fills them.
_NOT_IN_IMAGE = ("/dev", "/proc", "/run", "/sys", "/var/lock", "/var/run")
_OURS = ("/usr/lib/worker-bakery", "/usr/libexec/worker-bakery", "/var/lib/worker-bakery")
# Written at boot: provisioner steps do not name them.
_AT_BOOT = re.compile(r"/etc/condor/config\.d/(81-worker-resources|90-[a-z]+-worker)\.config")
_RESERVED_USER = re.compile(r"root|condor|nobody|slot[0-9]+")
# The worker's file sets these, so a setting of the image would have no effect.
_OVERRIDDEN = {
    "START": "Set WORKER_GUARDS: jobs must satisfy it and the user's Start.",
    "CONDOR_HOST": "Set the default of CentralManager for the worker.",
    "COLLECTOR_HOST": "Set the default of CentralManager for the worker.",
}
_DOCKER_SYSCTL = "Set them when it starts: docker run --sysctl."
_NO_SYSTEMD = "It has no systemd; run the program another way."
_STATEMENTS = ("use", "include", "if", "elif", "else", "endif", "error", "warning")

Place = tuple[str | int, ...]

_NAME = r"[a-z_][a-z0-9_-]{0,31}"
_UNIT = r"[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|path|mount|target|automount|swap|slice)"
_FORMS = {
    "name of an image": r"[a-z0-9][a-z0-9._-]*",
    "version of an image": r"[a-z0-9][a-z0-9._-]*",
    "package": r"[A-Za-z0-9/@][A-Za-z0-9+._:~=/@()*-]*(?<!-)",
    "user": _NAME,
    "group": _NAME,
    "unit": _UNIT,
    "owner": r"([A-Za-z_][A-Za-z0-9_.-]*|[0-9]+):([A-Za-z_][A-Za-z0-9_.-]*|[0-9]+)",
    "kernel parameter": r"[A-Za-z0-9][A-Za-z0-9_.*/-]*",
    # What neither GRUB's nor a shell's syntax gives a meaning.
    "kernel argument": r"[A-Za-z0-9][A-Za-z0-9_.,:=/+@%-]*",
    "name of a certificate": r"[A-Za-z0-9][A-Za-z0-9._-]*",
    "name of a setting of HTCondor": r"[A-Za-z_][A-Za-z0-9_.]*",
    "repository": r"[A-Za-z0-9][A-Za-z0-9_.-]*",
}


@dataclass(frozen=True)
class Mistake:
    """A value that an image cannot have. `place` is where the customization has it, from a field's name:
    ("files", 1, "path") is own.files[1].path, ("condor", "A") the value of A in own.condor."""

    place: tuple[str | int, ...]
    message: str
    hint: str = ""


def check(context: Context) -> None:
    """Raises BadInput: the image cannot have what the customization adds."""
    for found in mistakes(context.customization, boots=context.boots):
        raise BadInput(found.message, found.hint)
    _check_units(context)


def mistakes(own: Customization, *, boots: bool) -> Iterator[Mistake]:
    """What no image can have, whatever its base. Without `boots` it is a container."""
    if not boots:
        yield from _in_container(own)
    for what, place, word in _words(own):
        if not re.fullmatch(_FORMS[what], word):
            hint = "It must be USER:GROUP." if what == "owner" else ""
            yield Mistake(place, f"{word!r} is not a valid {what}.", hint)
    yield from _in_repositories(own)
    for number, file in enumerate(own.files):
        yield from _in_path(("files", number, "path"), file.path)
        yield from _private_key(("files", number), file.path, file.data)
    for number, user in enumerate(own.users):
        yield from _in_user(("users", number), user)
    yield from _in_certificates(own)
    yield from _in_lines(own)
    for number, command in enumerate(own.commands):
        yield from _in_command(("commands", number), command)


def refuse_written_twice(files: Iterable[SiteFile], written: Iterable[tuple[str, str]]) -> None:
    """Raises BadInput for a file that a step of the plan writes, too; `written` are roles and paths.

    The steps that write the files of the site are among them, once for each.
    """
    roles: dict[str, list[str]] = {}
    for role, path in written:
        roles.setdefault(path, []).append(role)
    for file in files:
        others = roles.get(file.path, [])[:]
        others.remove("site")
        if others:
            who = "twice" if others[0] == "site" else f"by the role {others[0]} as well"
            raise BadInput(f"The file {file.path} would be written {who}.", "Choose another path.")


def _words(own: Customization) -> Iterator[tuple[str, Place, str]]:
    """Words that have a form, with the name of the form and their places."""
    yield from (("name of an image", ("name",), own.name) for _ in own.name[:1])
    yield from (("version of an image", ("version",), own.version) for _ in own.version[:1])
    for number, package in enumerate(own.packages):
        yield "package", ("packages", number), package
    for number, user in enumerate(own.users):
        yield "user", ("users", number, "name"), user.name
        yield from (("group", ("users", number, "groups"), group) for group in user.groups)
    for unit, _ in own.services:
        yield "unit", ("services", unit), unit
    for number, file in enumerate(own.files):
        yield "owner", ("files", number, "owner"), file.owner
    for number, argument in enumerate(own.kernel_arguments):
        yield "kernel argument", ("kernel_arguments", number), argument
    for number, (name, _) in enumerate(own.ca_certificates):
        yield "name of a certificate", ("ca_certificates", number), name
    for number, repository in enumerate(own.repositories):
        yield "repository", ("repositories", number, "id"), repository.id
    yield from (("kernel parameter", ("sysctl", name), name) for name, _ in own.sysctl)
    yield from (("name of a setting of HTCondor", ("condor", name), name) for name, _ in own.condor)


def _in_container(own: Customization) -> Iterator[Mistake]:
    enabled = [unit for unit, state in own.services if state == "enable"]
    for place, present, what, hint in (
        (("kernel_arguments",), own.kernel_arguments, "kernel arguments", "The host's kernel runs it."),
        (("sysctl",), own.sysctl, "kernel parameters (sysctl)", _DOCKER_SYSCTL),
        (("services", *enabled[:1]), enabled, f"services: {', '.join(enabled)}", _NO_SYSTEMD),
        (("root_size",), own.root_size, "a root size", "It has no disk."),
    ):
        if present:
            yield Mistake(place, f"A container image cannot have {what}.", hint)


def _check_units(context: Context) -> None:
    units = {file.path.rpartition("/")[2] for file in context.files_under("/usr/lib/systemd/system")}
    for unit, _ in context.customization.services:
        if unit in units | {"condor.service"}:
            raise BadInput(f"The service {unit} belongs to the worker.", "It starts and stops it itself.")


def _in_repositories(own: Customization) -> Iterator[Mistake]:
    for number, one in enumerate(own.repositories):
        place = ("repositories", number)
        if not one.keys:
            hint = "Packages must be signed: give the public key."
            yield Mistake(place, f"The repository {one.id} has no key.", hint)
        if one.role != "site":
            yield Mistake(place, f"The repository {one.id} is for the role {one.role}, not for the site.")


def _in_path(place: Place, path: str) -> Iterator[Mistake]:
    """A path that is not normal, that an image does not keep, or that is ours."""
    parts, another = path.split("/"), "Choose another path."
    if parts[0] or len(parts) < 2 or {"", ".", ".."} & set(parts[1:]) or not path.isprintable():
        yield Mistake(place, f"{path!r} is not an absolute path of a file without . and .. in it.")
    for folder in _NOT_IN_IMAGE:
        if path.startswith(f"{folder}/"):
            message = f"The file {path} would not be in the image: {folder} is filled at boot."
            yield Mistake(place, message, another)
    if trace := removed_by(path):
        message = f"The file {path} would not be in the image: {_seal(trace)}."
        yield Mistake(place, message, another)
    if path.startswith(tuple(f"{folder}/" for folder in _OURS)) or _AT_BOOT.fullmatch(path):
        yield Mistake(place, f"The file {path} belongs to the worker.", another)


def _seal(trace: Trace) -> str:
    return f"the seal removes {trace.pattern} ({trace.why})"


def _private_key(place: Place, what: str, data: bytes) -> Iterator[Mistake]:
    if b"PRIVATE KEY-----" in data:
        message = f"{what} contains a private key, and images must not contain secrets."
        yield Mistake(place, message, "Deliver it to the worker when it boots.")


def _in_user(place: Place, user: User) -> Iterator[Mistake]:
    if _RESERVED_USER.fullmatch(user.name):
        message = f"The user {user.name} is one of the system or of HTCondor."
        yield Mistake((*place, "name"), message, "Choose another name.")
    home = accounts.home(user)
    for what, path in (("home", home), ("shell", accounts.shell(user))):
        if not re.fullmatch(r"/[A-Za-z0-9_./-]*", path) or ".." in path.split("/"):
            message = f"The {what} {path!r} of the user {user.name} is not possible."
            hint = "Give an absolute path of letters, digits and . _ - without .. in it."
            yield Mistake((*place, what), message, hint)
    trace = None if accounts.is_at_boot(user) or home == "/" else removed_by(home)
    if trace:
        message = f"The home {home} of the user {user.name} would not be in the image: {_seal(trace)}."
        yield Mistake((*place, "home"), message, "Choose another path.")


def _in_command(place: Place, command: SiteCommand) -> Iterator[Mistake]:
    if bool(command.argv) == bool(command.script):
        yield Mistake(place, f"The command {command.title!r} must have either argv or a script.")
    text = "\n".join(command.argv).encode() + command.script
    yield from _private_key(place, f"The command {command.title!r}", text)
    if command.script.startswith(b"#!") and command.script.split(b"\n", 1)[0].endswith(b"\r"):
        message = f"The script of the command {command.title!r} has Windows line ends (CRLF)."
        yield Mistake(place, message, "Save it with Unix line ends (LF): its interpreter is not found.")


def _in_certificates(own: Customization) -> Iterator[Mistake]:
    for number, (name, pem) in enumerate(own.ca_certificates):
        place = ("ca_certificates", number)
        yield from _private_key(place, f"The certificate {name}", pem)
        if not certificates.split(pem):
            yield Mistake(place, f"{name} contains no certificate.", "It must be in PEM format.")


def _in_lines(own: Customization) -> Iterator[Mistake]:
    for table, pairs in (("sysctl", own.sysctl), ("condor", own.condor)):
        for name, value in pairs:
            if not value.isprintable() or value.rstrip().endswith("\\"):
                message = f"The value of {name} must be one line that does not end with a backslash."
                yield Mistake((table, name), message)
    yield from _in_condor([name for name, _ in own.condor])


def _in_condor(names: Sequence[str]) -> Iterator[Mistake]:
    """HTCondor's configuration does not distinguish upper and lower case."""
    for number, name in enumerate(names):
        place = ("condor", name)
        if name.casefold() in _STATEMENTS:
            yield Mistake(place, f"{name} is a statement of HTCondor's configuration, not a setting.")
        if name.upper() in _OVERRIDDEN:
            message = f"{name} of HTCondor is set from the worker's file on each worker."
            yield Mistake(place, message, _OVERRIDDEN[name.upper()])
        if name.casefold() in [other.casefold() for other in names[:number]]:
            hint = "HTCondor ignores upper and lower case in names. Remove one of them."
            yield Mistake(place, f"{name} of HTCondor is set twice.", hint)
