"""What a customization cannot ask for: what this kind of image does not have, or would not keep.

The reader of definition files has checked the forms of the values. They are checked here again where they
become arguments of programs or lines of files, because customizations can be made without a definition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from provisioner.errors import BadInput
from provisioner.roles import Context
from provisioner.roles.customization import Customization, SiteFile, User
from provisioner.roles.seal import removed_by
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
_STATEMENTS = ("use", "include", "if", "elif", "else", "endif", "error", "warning")

_NAME = r"[a-z_][a-z0-9_-]{0,31}"
_UNIT = r"[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|path|mount|target|automount|swap|slice)"
_FORMS = {
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


def check(context: Context) -> None:
    """Raises BadInput: the image cannot have what the customization adds."""
    own = context.customization
    if not context.boots:
        _check_container(own)
    for what, words in _words(own):
        for word in words:
            _check_form(what, word)
    _check_units(context)
    _check_repositories(own)
    for file in own.files:
        _check_path(file.path)
        _refuse_private_key(file.path, file.data)
    for user in own.users:
        _check_user(user)
    _check_certificates(own)
    _check_lines(own)
    for command in own.commands:
        if bool(command.argv) == bool(command.script):
            raise BadInput(f"The command {command.title!r} must have either argv or a script.")


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


def _words(own: Customization) -> Iterator[tuple[str, Iterable[str]]]:
    yield "package", own.packages
    yield "user", (user.name for user in own.users)
    yield "group", (group for user in own.users for group in user.groups)
    yield "unit", (unit for unit, _ in own.services)
    yield "owner", (file.owner for file in own.files)
    yield "kernel parameter", (name for name, _ in own.sysctl)
    yield "kernel argument", own.kernel_arguments
    yield "name of a certificate", (name for name, _ in own.ca_certificates)
    yield "name of a setting of HTCondor", (name for name, _ in own.condor)
    yield "repository", (one.id for one in own.repositories)


def _check_form(what: str, word: str) -> None:
    if not re.fullmatch(_FORMS[what], word):
        hint = "It must be USER:GROUP." if what == "owner" else ""
        raise BadInput(f"{word!r} is not a valid {what}.", hint)


def _check_container(own: Customization) -> None:
    enabled = [unit for unit, state in own.services if state == "enable"]
    for present, what, hint in (
        (own.kernel_arguments, "kernel arguments", "The host's kernel runs it."),
        (own.sysctl, "kernel parameters (sysctl)", "Set them when it starts: docker run --sysctl."),
        (enabled, f"services: {', '.join(enabled)}", "It has no systemd; run the program another way."),
        (own.root_size, "a root size", "It has no disk."),
    ):
        if present:
            raise BadInput(f"A container image cannot have {what}.", hint)


def _check_units(context: Context) -> None:
    units = {file.path.rpartition("/")[2] for file in context.files_under("/usr/lib/systemd/system")}
    for unit, _ in context.customization.services:
        if unit in units | {"condor.service"}:
            raise BadInput(f"The service {unit} belongs to the worker.", "It starts and stops it itself.")


def _check_repositories(own: Customization) -> None:
    for one in own.repositories:
        if not one.keys:
            raise BadInput(
                f"The repository {one.id} has no key.", "Packages must be signed: give the public key."
            )
        if one.role != "site":
            raise BadInput(f"The repository {one.id} is for the role {one.role}, not for the site.")


def _check_path(path: str) -> None:
    """Raises BadInput for a path that is not normal, that an image does not keep, or that is ours."""
    parts = path.split("/")
    if parts[0] or len(parts) < 2 or {"", ".", ".."} & set(parts[1:]) or not path.isprintable():
        raise BadInput(f"{path!r} is not an absolute path of a file without . and .. in it.")
    for folder in _NOT_IN_IMAGE:
        if path.startswith(f"{folder}/"):
            raise BadInput(f"The file {path} would not be in the image: {folder} is filled at boot.")
    trace = removed_by(path)
    if trace:
        raise BadInput(
            f"The file {path} would not be in the image: the seal removes {trace.pattern} ({trace.why}).",
            "Choose another path.",
        )
    if path.startswith(tuple(f"{folder}/" for folder in _OURS)) or _AT_BOOT.fullmatch(path):
        raise BadInput(f"The file {path} belongs to the worker.", "Choose another path.")


def _refuse_private_key(what: str, data: bytes) -> None:
    if b"PRIVATE KEY-----" in data:
        raise BadInput(
            f"{what} contains a private key, and images must not contain secrets.",
            "Deliver it to the worker when it boots.",
        )


def _check_user(user: User) -> None:
    if _RESERVED_USER.fullmatch(user.name):
        raise BadInput(f"The user {user.name} is one of the system or of HTCondor.", "Choose another name.")
    home = accounts.home(user)
    for what, path in (("home", home), ("shell", accounts.shell(user))):
        if not re.fullmatch(r"/[A-Za-z0-9_./-]*", path) or ".." in path.split("/"):
            raise BadInput(f"The {what} of the user {user.name} is not an absolute path: {path!r}.")
    trace = None if accounts.is_at_boot(user) or home == "/" else removed_by(home)
    if trace:
        raise BadInput(
            f"The home {home} of the user {user.name} would not be in the image: "
            f"the seal removes {trace.pattern} ({trace.why})."
        )


def _check_certificates(own: Customization) -> None:
    for name, pem in own.ca_certificates:
        _refuse_private_key(f"The certificate {name}", pem)
        if not certificates.split(pem):
            raise BadInput(f"{name} contains no certificate.", "It must be in PEM format.")


def _check_lines(own: Customization) -> None:
    for name, value in (*own.sysctl, *own.condor):
        if not value.isprintable() or value.rstrip().endswith("\\"):
            raise BadInput(f"The value of {name} must be one line that does not end with a backslash.")
    for name, _ in own.condor:
        if name.casefold() in _STATEMENTS:
            raise BadInput(f"{name} is a statement of HTCondor's configuration, not a setting.")
        if name.upper() in _OVERRIDDEN:
            raise BadInput(
                f"{name} of HTCondor is set from the worker's file on each worker.",
                _OVERRIDDEN[name.upper()],
            )
