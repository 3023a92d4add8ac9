"""What a person asks for, as texts -> a checked request -> user-data.

The texts are those of the options of `gen-userdata` or of the fields of its page, under the same names.
Both are read here, so they accept and refuse the same values with the same messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bakery.userdata import characters, findings, keys, rendering, request
from bakery.userdata.delivery.clouds import CLOUDS
from bakery.userdata.delivery.encodings import Encoding
from bakery.userdata.delivery.multipart import Part
from bakery.userdata.request import Delivery, Policy, Request, UserData
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.process.scrub import hiding, scrub


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The values as they were typed; None is a value that was not given.

    `options` has those of bakery/userdata/keys.py by their names, `assignments` are words like Key=value.
    `cloud_source` names the option or the setting that `cloud` comes from, for messages.
    """

    worker: str = "osg"
    projects: Sequence[str] = ()
    owners: Sequence[str] = ()
    conditions: Sequence[str] = ()
    anyone: bool = False
    group_name: str | None = None
    pool: str | None = None
    options: Mapping[str, str | None] = field(default_factory=dict)
    assignments: Sequence[str] = ()
    form: str = "script"
    encoding: Encoding = field(default_factory=Encoding)
    cloud: str | None = None
    cloud_source: str = "--cloud"
    trust_domain: str = ""
    allowed: frozenset[str] = frozenset()
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The texts, read: `settings` are keys of the worker's file, `cloud` is one of CLOUDS or None."""

    texts: Texts
    settings: Mapping[str, str]
    cloud: str | None

    @property
    def fetches_token(self) -> bool:
        """Whether the worker fetches its token itself, so that the user-data contains none."""
        return any(key in self.settings for key in keys.TOKEN_SOURCES)

    def request(self, token: str) -> Request:
        return Request(
            kind=self.texts.worker,
            token=token,
            projects=tuple(self.texts.projects),
            owners=tuple(self.texts.owners),
            conditions=tuple(self.texts.conditions),
            anyone=self.texts.anyone,
            group_name=self.texts.group_name,
            pool=self.texts.pool,
            settings=self.settings,
        )

    def delivery(self, include: Sequence[Part] = ()) -> Delivery:
        return Delivery(
            form=self.texts.form, include=include, encoding=self.texts.encoding, cloud=self.cloud
        )

    def policy(self, now: float) -> Policy:
        return Policy(
            now=now,
            trust_domain=self.texts.trust_domain,
            allowed=self.texts.allowed,
            strict=self.texts.strict,
        )


def read(texts: Texts) -> Asked:
    """Raises BadInput for a setting or a cloud that does not exist, and for contradictory values."""
    given = {**texts.options, "cloud": texts.cloud if texts.worker == "prominence" else None}
    settings = keys.from_options(given, texts.worker)
    settings |= keys.from_assignments(texts.assignments, texts.worker)
    asked = Asked(texts=texts, settings=settings, cloud=_cloud(texts))
    if hint := characters.removal(texts.trust_domain):
        raise BadInput(f"--trust-domain is not a trust domain: {scrub(texts.trust_domain)!r}.", hint)
    if texts.trust_domain and "TrustDomain" in settings:
        raise BadInput(
            "--trust-domain and --set TrustDomain= both name the trust domain.",
            "Give one of them: --set also writes it to the worker's file.",
        )
    return asked


def _cloud(texts: Texts) -> str | None:
    """Return the cloud whose limits are checked; PROMINENCE's clouds may have any name."""
    if texts.cloud in CLOUDS:
        return texts.cloud
    if texts.cloud and texts.worker == "osg":
        hint = did_you_mean.hint([texts.cloud], CLOUDS, f"The clouds are {', '.join(CLOUDS)}.")
        raise BadInput(f"{texts.cloud_source}: there is no cloud {scrub(texts.cloud)!r}.", hint)
    return None


def check_without_token(asked: Asked) -> None:
    """Report mistakes in the other values before the token is read. Raises BadInput."""
    request.conf_of(asked.request("" if asked.fetches_token else "unread"))


def user_data(asked: Asked, pasted: bytes, now: float) -> tuple[Request, UserData]:
    """Return the request and its user-data. `pasted` is a token file, `now` is in seconds since 1970.

    Raises BadInput for an invalid value. The findings may contain errors: see `refuse`.
    """
    check_without_token(asked)
    token = "" if asked.fetches_token else rendering.parse_token_file(pasted)
    wanted = asked.request(token)
    with hiding(token):  # a value that contains it is refused
        return wanted, request.generate(wanted, asked.delivery(), asked.policy(now))


def refuse(made: UserData) -> None:
    """Raise BadInput if a finding is an error: at boot the user-data would not do what it says."""
    if wrong := findings.errors(made.findings):
        raise findings.refusal(wrong)
