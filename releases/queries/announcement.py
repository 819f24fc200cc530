"""Whom the announcement of a release has reached, recipient group by recipient group: the final check asks for it
(P3).
"""

from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from audit.models import Outbox
from audit.operation import label
from releases.models import ApprovalRequest, Notification, Release, Waiver
from releases.notifications.templates.events import ANNOUNCE
from releases.queries.delivery_status import DeliveryStatus, delivery_status
from releases.queries.notification_plan import planned

UNKNOWN, NOT_MEASURED, WAIVED = "unknown", "not_measured", "waived"


@dataclass(frozen=True)
class Announcement:
    """How the announcement of a release stands. result: True, False, `unknown`, `not_measured` or `waived`; why: a
    sentence.
    """

    result: bool | str
    why: str
    notification: Notification | None = None
    groups: list[DeliveryStatus] = field(default_factory=list)


def announcement(release: Release, approval_request: ApprovalRequest | None, waiver: Waiver | None) -> Announcement:
    """Return how the announcement stands that went out when this round was granted; waiver: one that counts now, if
    any.

    Each delivery by each channel is required. Without recipients it is not measured.
    """
    found = _standing(release, approval_request)
    if waiver is None or found.result in (True, NOT_MEASURED):
        return found
    why = _("Waived by %(who)s: %(reason)s (%(why)s)")
    words = why % {"who": waiver.decided_by, "reason": waiver.reason, "why": found.why}
    return Announcement(WAIVED, words, found.notification, found.groups)


def _standing(release: Release, approval_request: ApprovalRequest | None) -> Announcement:
    if approval_request is None:
        return Announcement(False, _("The release is announced when it is approved."))
    notification = (
        Notification.objects.filter(release=release, event=ANNOUNCE, payload__approval_request=approval_request.pk)
        .order_by("pk")
        .last()
    )
    if notification is None:
        entry = Outbox.objects.filter(event=ANNOUNCE, object=label(release), sent_at=None).order_by("pk").last()
        if entry is not None and (plan := planned(entry)) is not None and plan.recipients:
            return Announcement(UNKNOWN, _("The announcement is being prepared."))
        text = _("No recipient matched the notification rules when the release was approved.")
        return Announcement(NOT_MEASURED, text)
    groups = delivery_status(notification)
    total = {name: sum(getattr(group, name) for group in groups) for name in ("sent", "failed", "waiting")}
    total["all"] = sum(total.values())
    if total["failed"]:
        why = _(
            "%(failed)d of %(all)d deliveries of the announcement have failed. Repair the channel or "
            "address, or have it waived."
        )
        return Announcement(False, why % total, notification, groups)
    if total["waiting"]:
        why = _("%(waiting)d of %(all)d deliveries of the announcement have not been sent yet.")
        if notification.waits:
            why = _(
                "%(waiting)d of %(all)d deliveries of the announcement have not been sent yet. Those to "
                "external recipients"
                " wait for approval."
            )
        return Announcement(UNKNOWN, why % total, notification, groups)
    return Announcement(
        True, _("All deliveries of the announcement were sent: %(sent)d.") % total, notification, groups
    )
