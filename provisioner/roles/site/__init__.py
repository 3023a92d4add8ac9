"""The roles `site_base` and `site`: the steps of a customization (provisioner/roles/customization.py).

`site_base` follows the role base: certificate authorities first, because repositories may need them. `site`
is the last role before the seal, so that a change of a site's files keeps all other checkpoints. An empty
customization has no steps. checks.py tells what a customization cannot ask for; the recipe calls it first.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.packages import repositories
from provisioner.roles import Context
from provisioner.roles.customization import Customization, Phase, SiteCommand
from provisioner.roles.site import accounts, certificates, kernel, settings
from provisioner.steps import Command, File, PackageLists, Packages, Script, Service, Step

ROLE = "site"


def site_base(context: Context) -> tuple[Step, ...]:
    """The steps: certificate authorities, commands of the phase `base`."""
    return (*certificates.steps(context), *_commands(context.customization, "base"))


def site(context: Context) -> tuple[Step, ...]:
    """All other steps."""
    own = context.customization
    return (
        *_packages(context),
        *_commands(own, "packages"),
        *accounts.steps(context),
        *(File(each.path, each.data, each.mode, each.owner) for each in own.files),
        *settings.sysctl(own),
        *kernel.steps(context),
        *_services(context),
        *settings.worker_defaults(context),
        *settings.condor(own),
        *settings.definition(context),
        *_commands(own, "final"),
    )


def _packages(context: Context) -> Iterator[Step]:
    own = context.customization
    added = repositories.add(own.repositories, ROLE, context.manager)
    yield from added
    if own.packages:
        # Adding repositories refreshes the lists. Without, they may be older than the checkpoint.
        if not added:
            yield PackageLists(context.manager)
        yield Packages(context.manager, frozenset(own.packages))


def _services(context: Context) -> Iterator[Step]:
    """In a container nothing starts units: it has what `disable` and `mask` ask for."""
    if context.boots:
        yield from (Service(unit, state) for unit, state in context.customization.services)


def _commands(own: Customization, phase: Phase) -> Iterator[Step]:
    return (_command(each) for each in own.commands if each.phase == phase)


def _command(command: SiteCommand) -> Step:
    if command.script:
        return Script(command.title, command.script)
    return Command(command.title, command.argv)
