"""Which events people are told of: their words, whether they wake people up, and whether somebody must act."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# What tells everybody of a release that was approved; who was not reached by it hears nothing of how it went on.
ANNOUNCE = "release:announce"


@dataclass(frozen=True)
class Told:
    """One event. duty: somebody must act, so it is repeated and goes on to others until it is done.

    named: it is told to persons whom it concerns, though none of them must act. urgent: quiet hours do not hold it.
    leads: it comes at hours before something is due. pre_released: its text for people outside is released with the
    consent to the release. follows: people outside hear of it only if the announcement of the release reached them.
    """

    key: str
    label: str | Promise
    duty: bool = False
    named: bool = False
    urgent: bool = False
    leads: bool = False
    pre_released: bool = False
    follows: bool = False


EVENTS: tuple[Told, ...] = (
    Told("release:submit", _("A release is submitted for approval"), duty=True),
    Told("approval:mark_approved", _("A release is approved")),
    Told("approval:send_back", _("A release was sent back")),
    Told("approval:reject", _("A release was rejected")),
    Told("approval:request", _("An approval is requested"), duty=True),
    Told("access:request", _("Access is requested"), duty=True, urgent=True),
    Told("release:end_approval", _("A release approval has ended (invalidated or expired)"), named=True),
    Told(ANNOUNCE, _("A release is announced")),
    Told("release:reschedule", _("A release is rescheduled"), follows=True),
    Told("release:cancel", _("A release is cancelled"), follows=True),
    Told("milestone:remind", _("A milestone is due"), duty=True, leads=True),
    Told("waiver:request", _("A waiver waits for a second person"), duty=True),
    Told("deployment:start", _("A deployment starts"), urgent=True, follows=True),
    Told("deployment:await_decision", _("A deployment awaits a decision"), duty=True, urgent=True),
    Told("decision_request:escalate", _("A decision request is escalated"), duty=True, urgent=True),
    Told("deployment:succeed", _("A deployment has succeeded"), follows=True),
    Told("deployment:fail", _("A deployment has failed"), urgent=True, follows=True),
    Told("deployment:cancel", _("A scheduled deployment is cancelled"), follows=True),
    Told("deployment:mark_missed", _("A deployment has missed its window"), follows=True),
    Told("monitoring:report_no_data", _("The monitoring has no data"), duty=True, urgent=True),
    Told("drift:detect", _("A deployment target differs from what was deployed"), named=True),
    Told("poll:suspend", _("Ringi needs a decision: something failed three times"), duty=True, urgent=True),
    Told("job:refuse", _("A worker refused a job that Ringi did not create"), named=True, urgent=True),
    Told("rollback:raise", _("A rollback is raised"), duty=True, urgent=True, follows=True),
    Told(
        "rollback:notify_stakeholders",
        _("Recipient groups are notified of rollback preparation"),
        urgent=True,
        pre_released=True,
        follows=True,
    ),
    Told(
        "rollback:notify_users",
        _("Users are notified of rollback preparation"),
        urgent=True,
        pre_released=True,
        follows=True,
    ),
    Told("rollback:share_plan", _("A rollback plan is shared"), urgent=True, follows=True),
    Told("rollback:authorise", _("A rollback is authorised"), urgent=True, pre_released=True, follows=True),
    Told("rollback:complete", _("A rollback is complete"), urgent=True, pre_released=True, follows=True),
    Told("rollback:fail", _("A rollback has failed"), urgent=True, follows=True),
    Told("rollback:close", _("A rollback is closed"), follows=True),
    Told("emergency_stop:activate", _("The emergency stop was activated (stop or pause)"), urgent=True),
    Told("emergency_stop:lift", _("The emergency stop was lifted"), urgent=True),
    Told("window:create_freeze", _("A change freeze is set"), named=True),
    Told("freeze:request_lift", _("Lifting a change freeze waits for a second person"), duty=True),
    Told("freeze:lift", _("A change freeze is lifted"), named=True),
    Told("procedure:report_overdue", _("Rules of the procedure can no longer be met"), named=True, urgent=True),
    Told("ledger:alarm", _("The ledger was altered or cannot be verified"), named=True, urgent=True),
    Told("notification_channel:mark_unavailable", _("A channel does not deliver"), named=True, urgent=True),
    Told("notification_channel:mark_available", _("A channel delivers again"), named=True),
    Told(
        "notification:await_external_approval",
        _("A notification waits for approval for external recipients"),
        duty=True,
    ),
    Told("notification:remind", _("A task is still open")),
    Told("notification:escalate", _("An open task is escalated")),
)
KEYS = {told.key: told for told in EVENTS}
PRE_RELEASED = tuple(told.key for told in EVENTS if told.pre_released)


def told(key: str) -> Told | None:
    """Return the event of that key, or None for one that nobody is told of."""
    return KEYS.get(key)
