"""Notification events: their labels, whether they ignore quiet hours, and whether somebody must act."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# Announces an approved release to everybody; recipients whom it did not reach get no later notification of the release.
ANNOUNCE = "release:announce"


@dataclass(frozen=True)
class NotificationEvent:
    """One event. required_action: somebody must act, so the notification is repeated and escalated until the action is
    done.

    named: the recipients are the persons concerned, though none of them must act. urgent: quiet hours do not delay it.
    leads: it is sent some hours before something is due. pre_released: the approval of the release also approves its
    text for external recipients. follows: external recipients get it only if the release's announcement reached them.
    """

    key: str
    label: str | Promise
    required_action: bool = False
    named: bool = False
    urgent: bool = False
    leads: bool = False
    pre_released: bool = False
    follows: bool = False


EVENTS: tuple[NotificationEvent, ...] = (
    NotificationEvent("release:submit", _("A release is submitted for approval"), required_action=True),
    NotificationEvent("approval:mark_approved", _("A release is approved")),
    NotificationEvent("approval:send_back", _("A release was sent back")),
    NotificationEvent("approval:reject", _("A release was rejected")),
    NotificationEvent("approval:request", _("An approval is requested"), required_action=True),
    NotificationEvent("access:request", _("Access is requested"), required_action=True, urgent=True),
    NotificationEvent("release:end_approval", _("A release approval has ended (invalidated or expired)"), named=True),
    NotificationEvent(ANNOUNCE, _("A release is announced")),
    NotificationEvent("release:reschedule", _("A release is rescheduled"), follows=True),
    NotificationEvent("release:cancel", _("A release is cancelled"), follows=True),
    NotificationEvent("milestone:remind", _("A milestone is due"), required_action=True, leads=True),
    NotificationEvent("waiver:request", _("A waiver waits for a second person"), required_action=True),
    NotificationEvent("deployment:start", _("A deployment starts"), urgent=True, follows=True),
    NotificationEvent(
        "deployment:await_decision", _("A deployment awaits a decision"), required_action=True, urgent=True
    ),
    NotificationEvent(
        "decision_request:escalate", _("A decision request is escalated"), required_action=True, urgent=True
    ),
    NotificationEvent("deployment:succeed", _("A deployment has succeeded"), follows=True),
    NotificationEvent("deployment:fail", _("A deployment has failed"), urgent=True, follows=True),
    NotificationEvent("deployment:cancel", _("A scheduled deployment is cancelled"), follows=True),
    NotificationEvent("deployment:mark_missed", _("A deployment has missed its window"), follows=True),
    NotificationEvent("monitoring:report_no_data", _("The monitoring has no data"), required_action=True, urgent=True),
    NotificationEvent("drift:detect", _("A deployment target differs from what was deployed"), named=True),
    NotificationEvent(
        "poll:suspend", _("Ringi needs a decision: something failed three times"), required_action=True, urgent=True
    ),
    NotificationEvent("account:use_break_glass", _("A break-glass account is used"), named=True, urgent=True),
    NotificationEvent("job:refuse", _("A worker refused a job that Ringi did not create"), named=True, urgent=True),
    NotificationEvent("rollback:raise", _("A rollback is raised"), required_action=True, urgent=True, follows=True),
    NotificationEvent(
        "rollback:notify_stakeholders",
        _("Recipient groups are notified of rollback preparation"),
        urgent=True,
        pre_released=True,
        follows=True,
    ),
    NotificationEvent(
        "rollback:notify_users",
        _("Users are notified of rollback preparation"),
        urgent=True,
        pre_released=True,
        follows=True,
    ),
    NotificationEvent("rollback:share_plan", _("A rollback plan is shared"), urgent=True, follows=True),
    NotificationEvent(
        "rollback:authorise", _("A rollback is authorised"), urgent=True, pre_released=True, follows=True
    ),
    NotificationEvent("rollback:complete", _("A rollback is complete"), urgent=True, pre_released=True, follows=True),
    NotificationEvent("rollback:fail", _("A rollback has failed"), urgent=True, follows=True),
    NotificationEvent("rollback:close", _("A rollback is closed"), follows=True),
    NotificationEvent("emergency_stop:activate", _("The emergency stop was activated (stop or pause)"), urgent=True),
    NotificationEvent("emergency_stop:lift", _("The emergency stop was lifted"), urgent=True),
    NotificationEvent("window:create_freeze", _("A change freeze is set"), named=True),
    NotificationEvent(
        "freeze:request_lift", _("Lifting a change freeze waits for a second person"), required_action=True
    ),
    NotificationEvent("freeze:lift", _("A change freeze is lifted"), named=True),
    NotificationEvent(
        "procedure:report_overdue", _("Rules of the procedure can no longer be met"), named=True, urgent=True
    ),
    NotificationEvent(
        "procedure:restore", _("An earlier release procedure is to take effect again"), named=True, urgent=True
    ),
    NotificationEvent("ledger:alarm", _("The ledger was altered or cannot be verified"), named=True, urgent=True),
    NotificationEvent(
        "notification_channel:mark_unavailable", _("A channel does not deliver"), named=True, urgent=True
    ),
    NotificationEvent("notification_channel:mark_available", _("A channel delivers again"), named=True),
    NotificationEvent(
        "notification:await_external_approval",
        _("A notification waits for approval for external recipients"),
        required_action=True,
    ),
    NotificationEvent("notification:remind", _("A task is still open")),
    NotificationEvent("notification:escalate", _("An open task is escalated")),
)
KEYS = {event.key: event for event in EVENTS}
PRE_RELEASED = tuple(event.key for event in EVENTS if event.pre_released)


def notification_event(key: str) -> NotificationEvent | None:
    """Return the event of that key, or None for one without notifications."""
    return KEYS.get(key)
