"""release:submit: open the round of consent about exactly this content."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import GateClosed, Invalid
from environments import access
from releases.actions.release.observe import observe
from releases.actions.release.plan import clear_final_check
from releases.actions.release.prepare import require_in_time
from releases.actions.release.steps import production_of
from releases.actions.release.suggest import wrong
from releases.actions.release.way_back import faults
from releases.gates import authorship
from releases.gates.content import digest, document
from releases.models import ApprovalRequest, Release


def submit(release_id: int, *, reason: str = "") -> ApprovalRequest:
    """Apply for consent: rules and content are frozen on the round; refused while another release holds the window."""
    observe(release_id)
    with change("release:submit", (Release, release_id), reason=reason) as act:
        applicant = access.require("prepare")
        release = act.get(Release)
        release.submit()
        environment = production_of(release)
        # What is in force may have changed since the content was fixed.
        if unsuitable := wrong(release):
            raise Invalid(*unsuitable)
        if missing := faults(release):
            raise GateClosed(*missing)
        require_in_time(release, "approve")
        authorship.require_known_authors(release)
        subject = "emergency" if release.kind == Release.Kind.EMERGENCY else "regular"
        other = ApprovalRequest.objects.filter(
            release__application=release.application,
            environment=environment,
            valid_from=release.scheduled_start_at,
            state__in=["in_review", "approved"],
        ).exclude(release=release)
        if subject == "regular" and other.exists():
            text = _("Another release has an approval request for this change window: %(r)s")
            raise GateClosed(text % {"r": other[0].release})
        assert release.procedure is not None
        rules = release.procedure.document.rules_for(subject, environment.tier)
        if not rules:
            raise GateClosed(_("The release procedure has no approval rule for this, so no approval is possible."))
        # What was signed at T-1 of an earlier attempt says nothing about this one.
        clear_final_check(release, now())
        content = document(release, environment)
        round_ = ApprovalRequest.objects.create(
            subject=subject,
            release=release,
            environment=environment,
            document=content,
            digest=digest(content),
            rules=rules,
            requested_by=applicant,
            valid_from=release.scheduled_start_at,
            valid_until=release.window_end,
        )
        act.about(release, round=round_.pk, digest=round_.digest)
    return round_
