"""release:set_version: another version for a draft; and the suggestion of the next version, for pages and refusals."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput, NotPossible
from environments import access
from environments.models import Application
from releases.gates.base import procedure_of
from releases.models import DeployedVersion, Procedure, Release
from releases.operations.release.plan import clear_signatures
from releases.queries.used_versions import UsedVersions, require_free
from releases.sources import versions


@dataclass(frozen=True)
class Next:
    """The versions after the deployed one (None: nothing is deployed): after fixes, features, breaking changes."""

    in_force: str | None
    patch: str
    minor: str
    major: str


def deployed_version(application: Application) -> str | None:
    """Return the version deployed in production, None for nothing."""
    release = DeployedVersion.in_production(application)
    return release.version if release is not None else None


def next_versions(application: Application) -> Next:
    """Return the next versions by the gravest type of change."""
    previous, taken = deployed_version(application), UsedVersions(application)
    by_part = {"patch": "fix", "minor": "feature", "major": "breaking"}
    found = {part: versions.next_version(previous, [kind], taken=taken) for part, kind in by_part.items()}
    return Next(previous, **found)


def next_version(application: Application, kinds: Sequence[str], *, kind: str = "regular", but: int = 0) -> str:
    """Return the next free version of an application for these types of change, a beta of it for a pre-release.

    but: primary key of a release whose own version does not count as taken. Raises InvalidInput for an unknown type.
    """
    taken = UsedVersions(application, but)
    procedure = Procedure.objects.of(application)
    raises = procedure.document.change_types() if procedure is not None else versions.KINDS
    try:
        found = versions.next_version(deployed_version(application), kinds, raises, taken)
        return (
            found if kind != Release.Kind.PRE_RELEASE else versions.next_pre_release(found, taken.pre_releases(found))
        )
    except versions.BadVersion as fault:
        raise InvalidInput(str(fault))


def for_release(release: Release) -> str:
    """Return the version that fits the changes of a release; its own one where that fits."""
    kinds = list(release.changes.values_list("kind", flat=True))
    if not wrong(release):
        return release.version
    return next_version(release.application, kinds, kind=release.kind, but=release.pk)


def wrong(release: Release) -> list[str]:
    """Return every reason why the version of a release does not fit its changes, as sentences."""
    return versions.faults(
        release.version,
        deployed_version(release.application),
        list(release.changes.values_list("kind", flat=True)),
        production=release.bound_for_production,
        raises=procedure_of(release).change_types(),
        taken=UsedVersions(release.application, release.pk),
    )


def set_version(release_id: int, *, version: str = "", reason: str = "") -> Release:
    """Give a draft another version, and with it its tag; left empty, the suggested one. Clears its signatures."""
    # The application is locked as well, so that two operations never assign one version.
    owner = Release.objects.filter(pk=release_id).values_list("application_id", flat=True).first()
    targets = [(Release, release_id), *([(Application, owner)] if owner is not None else [])]
    with operation("release:set_version", *targets, reason=reason) as op:
        release = op.get(Release)
        account = access.require("plan", instead="prepare")
        if release.state != "draft":
            raise NotPossible(_("Only a draft can be edited. Reopen the scope first."))
        try:
            text = versions.normalised(version) if version.strip() else for_release(release)
        except versions.BadVersion as fault:
            raise InvalidInput(str(fault))
        require_free(release.application, text, release.pk)
        before, release.version = release.version, text
        release.tag = release.application.tag_format.replace(versions.PLACE, text)
        release.editors.add(account)
        clear_signatures(release)
        op.about(release, version=text, before=before)
    return release
