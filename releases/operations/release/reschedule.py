"""release:set_scheduled_start and release:reschedule: choosing the window, and with it every milestone (P1, P3)."""

from datetime import datetime

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import NotPossible
from environments import access
from releases.gates.base import procedure_of
from releases.models import Release
from releases.operations.release.dates import set_window
from releases.operations.release.end_approval import end_requests
from releases.operations.release.plan import active_procedure, clear_final_check
from releases.procedures.document import Procedure as Content


def set_scheduled_start(release_id: int, *, start: datetime, reason: str = "") -> Release:
    """Plan the release for the window that holds `start`; refused outside with the next window named."""
    with operation("release:set_scheduled_start", (Release, release_id), reason=reason) as op:
        account = access.require("plan")
        release = op.get(Release)
        if release.state not in ("draft", "scope_locked", "testing_completed"):
            raise NotPossible(
                _(
                    "The scheduled start can be set only before the release is submitted for approval. Reschedule the "
                    "release instead."
                )
            )
        set_window(release, _content(release), start)
        clear_final_check(release, now())
        release.editors.add(account)
        op.about(release, start=start.isoformat())
    return release


def reschedule(release_id: int, *, start: datetime, reason: str) -> Release:
    """Move an approved release to another window; ends its approval request."""
    with operation("release:reschedule", (Release, release_id), reason=reason) as op:
        account = access.require("prepare")
        release = op.get(Release)
        release.editors.add(account)
        release.reschedule()
        end_requests(release, "invalidated", "window")
        set_window(release, _content(release), start, reopened=("mark_approved", "complete_final_check"))
        clear_final_check(release, now())
    return release


def _content(release: Release) -> Content:
    return procedure_of(release) if release.procedure else active_procedure(release.application).document
