"""What a release needs for its next stage, item by item: the operation refuses by it, and the release page shows it."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from audit.plain import is_blank
from environments.language import language, listed
from environments.models import Environment
from releases.gates.base import Known
from releases.gates.evaluation import evaluate
from releases.models import Artefact, Deployment, Release
from releases.operations.release.plan import wrong_kind
from releases.operations.release.set_version import wrong
from releases.procedures.document import Procedure as Content

TESTING = {"evidence": "evidence:upload", "promotion": "deployment:request", "checklist": "checklist:sign"}


@dataclass(frozen=True)
class Item:
    """One thing that a stage needs. reasons: why it is not there, as sentences; none: it is ready. verb: the operation
    that brings it, `noun:verb`; empty: several do. anchor: its place on the release page.
    """

    label: str
    reasons: tuple[str, ...] = ()
    verb: str = ""
    anchor: str = "plan"

    @property
    def ready(self) -> bool:
        """Tell whether nothing is missing."""
        return not self.reasons


def for_scope(release: Release, content: Content) -> list[Item]:
    """Return what must be there before the scope of a draft is locked; content: of the procedure in effect."""
    found = [
        Item(_("content of the request"), _empty(release, Release.APPLICATION_FIELDS), "release:edit"),
        Item(_("commit"), _empty(release, ("commit", "tree", "branch")), "release:select_commit"),
    ]
    has_changes = release.changes.exists()
    lacking = () if has_changes else (_("The release has no change entries yet."),)
    found.append(Item(_("changes"), lacking, "release:add_change_entry", "changes"))
    found.append(Item(_("version"), tuple(wrong(release)) if has_changes else (), "release:set_version"))
    if release.bound_for_production:
        lacking = () if release.scheduled_start_at is not None else (_("No scheduled start has been set yet."),)
        found.append(Item(_("scheduled start"), lacking, "release:set_scheduled_start"))
    found.append(Item(_("configuration"), _without_configuration(release), "release:set_configuration"))
    if why := wrong_kind(content, release.kind, release.criterion):
        found.append(Item(_("type"), (why,)))
    if kind := release.artefact_kind:
        text = _("No artefact of the type “%(kind)s” is registered for the commit %(commit)s.")
        lacking = (text % {"kind": Artefact.Kind(kind).label, "commit": release.commit[:12]},)
        found.append(Item(_("artefact"), () if release.newest_artefact() is not None else lacking, "artefact:register"))
    return found


def for_testing(release: Release, known: Known | None = None) -> list[Item]:
    """Return what must be there before testing is completed; known: of the release, where it was read already."""
    if release.kind == Release.Kind.PRE_RELEASE:
        verified = Deployment.objects.filter(release=release, state__in=Deployment.VERIFIED).exists()
        lacking = () if verified else (_("The release has not been verified in any environment yet."),)
        return [Item(_("deployment"), lacking, "deployment:request", "deployments")]
    known = known or Known(release)
    destinations = [place for place in known.places if place.tier == Environment.Tier.PRODUCTION]
    towards = (destinations or known.places[-1:])[0]
    return [
        Item(
            answer.label_ja if language() == "ja" else answer.label_en,
            () if answer.passes else (answer.reason or answer.gate,),
            TESTING[answer.kind],
            answer.anchor or "gates",
        )
        for answer in evaluate(release, towards, None, known)
        if answer.kind in TESTING
    ]


def _empty(release: Release, names: Iterable[str]) -> tuple[str, ...]:
    missing = [
        str(getattr(release._meta.get_field(name), "verbose_name", name))
        for name in names
        if is_blank(str(getattr(release, name)))
    ]
    return (_("Still empty: %(fields)s") % {"fields": listed(missing)},) if missing else ()


def _without_configuration(release: Release) -> tuple[str, ...]:
    places = Environment.objects.of(release.application)
    if not release.bound_for_production:
        places = places.exclude(tier="production")
    lacking = [str(place) for place in places if place.slug not in release.configurations]
    return (_("No configuration chosen for: %(environments)s") % {"environments": listed(lacking)},) if lacking else ()
