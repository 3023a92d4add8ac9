"""The format of a definition file, as structs. The JSON schema and the reference page are made from them.

`form` of a field completes the sentence "KEY must be …" of an error message. Patterns are valid for Python
and for JSON Schema (ECMA-262). Python's `$` also matches before a final line break: texts.py refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from bakery.image import cvmfs
from bakery.output import formats
from provisioner.roles import Family
from provisioner.roles.customization import Phase

Worker = Literal["osg", "prominence"]
Architecture = Literal["x86_64", "aarch64"]


def _meta(description: str, form: str = "", pattern: str = "", examples: Sequence[Any] = ()) -> Meta:
    return Meta(
        description=description or None,
        pattern=f"^(?:{pattern})$" if pattern else None,
        examples=list(examples) or None,
        extra={"form": form} if form else None,
    )


# --- texts with a format -----------------------------------------------------------------------

# As IMAGE_ID of os-release(5): lower-case letters, digits, and . _ -
_WORD = r"[a-z0-9][a-z0-9._-]{0,62}"
_WORD_FORM = "lower-case letters, digits and . _ -, at most 63"
_ABSOLUTE = r"/(?:[^/\x00-\x1f]+/)*[^/\x00-\x1f]+"
_USER = r"[a-z_][a-z0-9_-]{0,31}"

# A final - means "remove" to apt-get.
Package = Annotated[
    str, _meta("", "the name of a package", r"[A-Za-z0-9][A-Za-z0-9+._~:=^-]*[A-Za-z0-9+._~]|[A-Za-z0-9]")
]
File = Annotated[str, _meta("", "the path of a file", r"[^\x00-\x1f]+")]
GroupName = Annotated[str, _meta("", "the name of a group", _USER)]
Unit = Annotated[
    str,
    _meta(
        "",
        "the name of a systemd unit such as chrony.service",
        r"[A-Za-z0-9:_.\\-]+(?:@[A-Za-z0-9:_.\\-]*)?"
        r"(?:\.(?:service|socket|timer|path|mount|automount|swap|target|slice))?",
    ),
]
KernelArgument = Annotated[
    str,
    _meta(
        "",
        "one kernel argument of letters, digits and _ . , : = / + @ % -",
        r"[A-Za-z0-9][A-Za-z0-9_.,:=/+@%-]*",
    ),
]
CvmfsName = Annotated[
    str,
    _meta("", "the full name of a CVMFS repository such as atlas.cern.ch", cvmfs.REPOSITORY.pattern),
]
Url = Annotated[
    str,
    _meta(
        "",
        "a URL with http:// or https://, without a password, blanks or quotes",
        r"""https?://[A-Za-z0-9\[][^\s@'"\\<>]*""",
    ),
]
Scalar = str | int | bool


class Table(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A table of the file: unknown keys are errors."""


class LocalBase(Table, frozen=True, kw_only=True):
    """A disk image of your own that is used as the base."""

    path: Annotated[str, _meta("The disk image.", "the path of a file", r"[^\x00-\x1f]+")]
    family: Annotated[Family, _meta("The system in the image.")]
    sha256: Annotated[
        str, _meta("The expected digest of the image.", "64 hexadecimal digits", r"[0-9a-fA-F]{64}")
    ] = ""
    login: Annotated[str, _meta("The user who can log in over ssh.", "the name of a user", _USER)] = ""


class Nvidia(Table, frozen=True, kw_only=True):
    """The NVIDIA driver."""


class Apptainer(Table, frozen=True, kw_only=True):
    """Containers for jobs, without set-user-ID programs."""


class Udocker(Table, frozen=True, kw_only=True):
    """Containers for jobs, without privileges."""


_CVMFS_LIST = 'a list of names such as ["atlas.cern.ch"]'
_PROXY_FORM = "a value of CVMFS_HTTP_PROXY without a password"
_QUOTA = Meta(
    description="Size of the CVMFS cache in MB.",
    ge=cvmfs.MIN_QUOTA,
    extra={"form": f"a whole number of MB, at least {cvmfs.MIN_QUOTA}"},
)


class Cvmfs(Table, frozen=True, kw_only=True):
    """The CVMFS client."""

    repositories: Annotated[
        tuple[CvmfsName, ...], _meta("Repositories to mount below /cvmfs.", _CVMFS_LIST)
    ] = ()
    proxy: Annotated[str, _meta("Value of CVMFS_HTTP_PROXY.", _PROXY_FORM, cvmfs.PROXY.pattern)] = ""
    quota: Annotated[int, _QUOTA] = 4000


class Ospool(Table, frozen=True, kw_only=True):
    """What OSPool jobs require; includes apptainer and CVMFS where the base has them."""

    pelican: Annotated[
        str,
        _meta("Pelican client: the program, a .tar.gz or a .deb.", "the path of a file", r"[^\x00-\x1f]+"),
    ] = ""
    cvmfs_repositories: Annotated[
        tuple[CvmfsName, ...],
        _meta("Repositories to mount, if there is no [roles.cvmfs].", _CVMFS_LIST),
    ] = ()
    cvmfs_proxy: Annotated[
        str,
        _meta("Value of CVMFS_HTTP_PROXY, if there is no [roles.cvmfs].", _PROXY_FORM, cvmfs.PROXY.pattern),
    ] = ""
    cvmfs_quota: Annotated[int, _QUOTA] = 4000


class Roles(Table, frozen=True, kw_only=True):
    """Optional roles. An empty table such as [roles.apptainer] adds a role without options."""

    nvidia: Annotated[Nvidia | UnsetType, _meta("NVIDIA driver.")] = UNSET
    apptainer: Annotated[Apptainer | UnsetType, _meta("Containers, without set-user-ID programs.")] = UNSET
    cvmfs: Annotated[Cvmfs | UnsetType, _meta("CVMFS client.")] = UNSET
    udocker: Annotated[Udocker | UnsetType, _meta("Containers, without privileges.")] = UNSET
    ospool: Annotated[Ospool | UnsetType, _meta("What OSPool jobs require.")] = UNSET


class Repository(Table, frozen=True, kw_only=True):
    """A package repository that the image contains. It must have a key: packages are always verified."""

    id: Annotated[
        str, _meta("Name of the repository; also that of its file in the image.", _WORD_FORM, _WORD)
    ]
    url: Annotated[Url, _meta("URI of sources.list(5), or baseurl of yum.conf(5).")]
    title: Annotated[
        str, _meta("Title for people; the id by default.", "one line of text", r"[^\x00-\x1f]+")
    ] = ""
    suite: Annotated[
        str,
        _meta(
            "Suite of an APT repository, which requires it; a path that ends in / has no components.",
            "the name of a suite such as trixie, or a path that ends in /",
            r"[A-Za-z0-9./_~-]+",
        ),
    ] = ""
    components: Annotated[
        str,
        _meta(
            "Components of an APT repository; none with a suite that ends in /.",
            "names with blanks between",
            r"[A-Za-z0-9._/-]+(?: [A-Za-z0-9._/-]+)*",
        ),
    ] = "main"
    key: Annotated[
        str,
        _meta("Armored public key that signs the repository.", "the path of a file", r"[^\x00-\x1f]+"),
    ] = ""
    key_url: Annotated[
        Url | UnsetType, _meta("URL of that key, which the bake downloads; requires fingerprint.")
    ] = UNSET
    fingerprint: Annotated[
        str,
        _meta(
            "Fingerprint of the key.",
            "40 or 64 hexadecimal digits, in groups if you like",
            r"[0-9A-Fa-f]{4}(?: *[0-9A-Fa-f]{4}){9,15}",
        ),
    ] = ""
    exclude: Annotated[
        str,
        _meta(
            "Packages to ignore, as exclude of yum.conf(5); EL only.",
            "names with blanks between",
            r"[^\x00-\x1f]+",
        ),
    ] = ""


class SiteFile(Table, frozen=True, kw_only=True):
    """A file of the image. Exactly one of text and source is required."""

    path: Annotated[str, _meta("Absolute path in the image.", "an absolute path", _ABSOLUTE)]
    text: Annotated[str | UnsetType, _meta("The content.", "a string")] = UNSET
    source: Annotated[File | UnsetType, _meta("A file with the content.")] = UNSET
    template: Annotated[
        bool,
        _meta(
            "Replace $NAME and ${NAME} in the content by the values of [variables]; $$ is a dollar sign.",
            "true or false",
        ),
    ] = False
    mode: Annotated[
        str,
        _meta("Permissions.", 'an octal number in quotes such as "0644"', r"0?[0-7]{3}|[1-7][0-7]{3}"),
    ] = "0644"
    owner: Annotated[
        str,
        _meta(
            "Owner and group, which exist when the file is written.",
            'USER:GROUP such as "root:root"',
            rf"(?:{_USER}|[0-9]{{1,9}}):(?:{_USER}|[0-9]{{1,9}})",
        ),
    ] = "root:root"


class User(Table, frozen=True, kw_only=True):
    """A user account without a password."""

    name: Annotated[
        str,
        _meta("Login name.", "lower-case letters, digits, _ and -, beginning with a letter or _", _USER),
    ]
    uid: Annotated[
        int,
        Meta(
            description="User ID; the next free one by default.",
            ge=1,
            le=60000,
            extra={"form": "a whole number from 1 to 60000"},
        ),
    ] = 0
    home: Annotated[
        str,
        _meta(
            "Home directory; by default /home/NAME, or / for a system account.",
            "an absolute path",
            f"{_ABSOLUTE}|/",
        ),
    ] = ""
    shell: Annotated[
        str,
        _meta(
            "Login shell; by default /bin/bash, or /usr/sbin/nologin for a system account.",
            "an absolute path",
            _ABSOLUTE,
        ),
    ] = ""
    groups: Annotated[
        tuple[GroupName, ...],
        _meta("Supplementary groups, created if they do not exist.", "a list of names"),
    ] = ()
    system: Annotated[bool, _meta("A system account.", "true or false")] = False


_UNITS = 'a list of units such as ["chrony.service"]'


class Services(Table, frozen=True, kw_only=True):
    """States of systemd units at the next boot. `.service` may be omitted."""

    enable: Annotated[tuple[Unit, ...], _meta("Units that are started at boot.", _UNITS)] = ()
    disable: Annotated[tuple[Unit, ...], _meta("Units that are not started at boot.", _UNITS)] = ()
    mask: Annotated[tuple[Unit, ...], _meta("Units that cannot be started.", _UNITS)] = ()


class Command(Table, frozen=True, kw_only=True):
    """A command that is run as root during the bake. Exactly one of argv, script and text is required.

    It must be safe to run twice: an interrupted bake may run it again.
    """

    title: Annotated[str, _meta("Shown as progress.", "one line of text", r"[^\x00-\x1f]+")]
    argv: Annotated[
        tuple[str, ...] | UnsetType,
        _meta(
            "The program, found in PATH, and its arguments; no shell.", 'a list such as ["update-ca-trust"]'
        ),
    ] = UNSET
    script: Annotated[File | UnsetType, _meta("A script, or another executable file.")] = UNSET
    text: Annotated[str | UnsetType, _meta("A script, which begins with #!.", "a string")] = UNSET
    phase: Annotated[
        Phase,
        _meta(
            "When it runs: base (after the update of the base), packages (after the packages of this "
            "file) or final (after everything else, before the image is sealed)."
        ),
    ] = "final"


class Matrix(Table, frozen=True, kw_only=True):
    """One image for each combination of these values. Their names get the values as suffixes."""

    base: Annotated[tuple[str, ...], _meta("Values of base.", 'a list such as ["debian13"]')] = ()
    worker: Annotated[tuple[Worker, ...], _meta("Values of worker.", 'a list such as ["osg"]')] = ()
    arch: Annotated[tuple[Architecture, ...], _meta("Values of arch.", 'a list such as ["x86_64"]')] = ()
    format: Annotated[tuple[formats.Name, ...], _meta("Values of format.", 'a list such as ["qcow2"]')] = ()


class Image(Table, frozen=True, kw_only=True):
    """The keys of an image."""

    name: Annotated[
        str,
        _meta(
            "Name of the image in results (the name of the file by default), and IMAGE_ID in the image.",
            _WORD_FORM,
            _WORD,
        ),
    ] = ""
    version: Annotated[str, _meta("IMAGE_VERSION in the image.", _WORD_FORM, _WORD)] = ""
    base: Annotated[
        str | LocalBase,
        _meta(
            "Name of a base, path of its TOML file, or a table for a disk image of your own.",
            "the name of a base, the path of its TOML file, or a table with path and family",
        ),
    ] = "debian13"
    worker: Annotated[Worker, _meta("Kind of worker.")] = "osg"
    arch: Annotated[
        Architecture | UnsetType, _meta("Architecture of the base; that of the build host by default.")
    ] = UNSET
    format: Annotated[formats.Name, _meta("Disk image, or oci: container image.")] = "qcow2"
    compat: Annotated[bool, _meta("Write a qcow2 that QEMU before 5.1 can read: zlib instead of zstd.")] = (
        False
    )
    verify: Annotated[
        formats.Level | UnsetType, _meta("Verification level; boot by default, offline for oci.")
    ] = UNSET
    output: Annotated[
        str,
        _meta(
            "Where the image is written; a path that ends in / is a folder. The cache by default.",
            "the path of a file, or of a folder with a final /",
            r"[^\x00-\x1f]+",
        ),
    ] = ""
    root_size: Annotated[
        str,
        _meta(
            "Size of the disk; that of the base by default.",
            'a size in quotes such as "20G", with M, G or T',
            "[1-9][0-9]{0,5}[MGT]",
        ),
    ] = ""
    packages: Annotated[
        tuple[Package, ...], _meta("Packages to install.", 'a list of package names such as ["htop"]')
    ] = ()
    repositories: Annotated[
        tuple[Repository, ...], _meta("Package repositories.", "[[repositories]] tables")
    ] = ()
    apt_sources: Annotated[
        tuple[File, ...],
        _meta(
            "APT sources (deb822) that are used during the bake for the packages of the roles.",
            "a list of paths",
        ),
    ] = ()
    repository_urls: Annotated[
        dict[str, Url],
        _meta(
            "Mirrors of repositories that worker-bakery adds, by id, used during the bake.",
            "a table of URLs",
        ),
    ] = {}
    repository_keys: Annotated[
        dict[str, File], _meta("Armored public keys of these mirrors, by id.", "a table of paths")
    ] = {}
    keep_repository_urls: Annotated[
        bool, _meta("Also write repository-urls into the image.", "true or false")
    ] = False
    roles: Annotated[Roles, _meta("Optional roles.", "[roles.NAME] tables")] = Roles()
    worker_defaults: Annotated[
        dict[str, Scalar],
        _meta(
            "Defaults for keys of the worker's file, which user-data can override.",
            "a table of keys and values",
        ),
    ] = {}
    condor: Annotated[
        dict[str, Scalar | float],
        _meta("HTCondor configuration, such as WORKER_GUARDS.", "a table of names and values"),
    ] = {}
    files: Annotated[tuple[SiteFile, ...], _meta("Files.", "[[files]] tables")] = ()
    variables: Annotated[dict[str, str], _meta("Values for templates.", "a table of strings")] = {}
    users: Annotated[tuple[User, ...], _meta("User accounts.", "[[users]] tables")] = ()
    services: Annotated[
        Services, _meta("States of systemd units.", "a table with enable, disable, mask")
    ] = Services()
    sysctl: Annotated[
        dict[str, str | int | dict[str, Any]],
        _meta("Kernel parameters, see sysctl.d(5).", "a table of parameters and values"),
    ] = {}
    kernel_arguments: Annotated[
        tuple[KernelArgument, ...],
        _meta("Arguments added to the kernel command line.", "a list of arguments"),
    ] = ()
    ca_certificates: Annotated[
        tuple[File, ...], _meta("PEM files of CA certificates that the system trusts.", "a list of paths")
    ] = ()
    commands: Annotated[
        tuple[Command, ...], _meta("Commands run during the bake.", "[[commands]] tables")
    ] = ()
    tests: Annotated[
        tuple[File, ...],
        _meta(
            "Testinfra files that are run at each verification level, and files they need.",
            "a list of paths",
        ),
    ] = ()
    matrix: Annotated[Matrix, _meta("Several images from one table.", "a table of lists")] = Matrix()


class Definition(Image, frozen=True, kw_only=True):
    """A definition file. Its keys apply to all images of the file; without [[image]] it is one image."""

    image: Annotated[tuple[Image, ...], _meta("Images that share the keys above.", "[[image]] tables")] = ()
