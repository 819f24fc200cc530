"""release:set_scheduled_start and release:reschedule: choosing the window, and with it every milestone (P1, P3)."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import GateClosed, Invalid, WrongState
from environments import access
from releases.actions.consent.end import end_rounds
from releases.actions.release.milestones import lay
from releases.actions.release.plan import active_procedure, clear_final_check
from releases.actions.release.steps import production_of
from releases.gates.base import Known, procedure_of
from releases.gates.window import closed_sentence, opening
from releases.models import Release


def move(release_id: int, *, start: datetime, reason: str = "") -> Release:
    """Plan the release for the window that holds `start`; refused outside with the next window named."""
    with change("release:set_scheduled_start", (Release, release_id), reason=reason) as act:
        account = access.require("plan")
        release = act.get(Release)
        if release.state not in ("draft", "scope_locked", "testing_completed"):
            raise WrongState(
                _(
                    "The scheduled start can be set only before the release is submitted for approval. Reschedule the "
                    "release instead."
                )
            )
        _set_window(release, start)
        release.editors.add(account)
        act.about(release, start=start.isoformat())
    return release


def postpone(release_id: int, *, start: datetime, reason: str) -> Release:
    """Move an approved release to another window; ends its round of consent."""
    with change("release:reschedule", (Release, release_id), reason=reason) as act:
        account = access.require("prepare")
        release = act.get(Release)
        release.editors.add(account)
        release.reschedule()
        end_rounds(release, "invalidated", "window")
        _set_window(release, start, reopened=("approve", "complete_final_check"))
    return release


def _set_window(release: Release, start: datetime, reopened: Collection[str] = ()) -> None:
    moment = now()
    environment = production_of(release)
    emergency = release.kind == Release.Kind.EMERGENCY
    frozen = Known(release, moment).freezes(environment)
    answer = opening(release.application, environment, max(start, moment), emergency=emergency, frozen=frozen)
    if not answer.open:
        raise GateClosed(closed_sentence(answer, environment))
    if start < moment - timedelta(hours=12):
        raise Invalid(_("That time lies in the past."))
    procedure = procedure_of(release) if release.procedure else active_procedure().document
    release.scheduled_start_at = start
    if emergency:
        release.window_end = start + timedelta(hours=procedure.schedule.emergency.validity_hours)
    else:
        release.window_end = answer.until
    lay(release, procedure, environment, start, moment, reopened=reopened)
    clear_final_check(release, moment)
