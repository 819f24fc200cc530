"""notification_rule:add, notification_rule:remove: which recipients are notified of an event, by which channel, how
early.
"""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPossible
from environments import access
from environments.language import listed
from releases.models import NotificationChannel, NotificationRule, RecipientGroup
from releases.notifications.templates.events import notification_event
from releases.procedures.unnotified_ends import ENDS, PLAN


def add(
    *, event: str, group_id: int | None, channel_id: int, lead_hours: int | None = None, reason: str = ""
) -> NotificationRule:
    """Add a rule; without a group it is for those who must act. Raises InvalidInput."""
    with operation("notification_rule:add", reason=reason, sign=True) as op:
        access.require("configure_notifications")
        known = notification_event(event)
        if known is None:
            raise InvalidInput(_("No notification is sent for this event: %(event)s") % {"event": event})
        if group_id is None and not (known.required_action or known.named or event.startswith("notification:")):
            raise InvalidInput(_("This event requires no action from anyone; choose a recipient group."))
        if lead_hours is not None and not known.leads:
            raise InvalidInput(_("Only a milestone notification can be sent hours in advance."))
        group = RecipientGroup.objects.filter(pk=group_id, closed_at=None).first() if group_id is not None else None
        if group_id is not None and group is None:
            raise InvalidInput(_("This recipient group does not exist."))
        if group is not None and group.outside and event.startswith("notification:"):
            raise InvalidInput(_("Only internal recipients can be notified of this event."))
        channel = NotificationChannel.objects.get(pk=channel_id)
        same = NotificationRule.objects.filter(
            event=event, group=group, channel=channel, lead_hours=lead_hours, removed_at=None
        )
        if same.exists():
            raise InvalidInput(_("The same notification rule already exists."))
        if event == PLAN and group is not None and (left := unnotified_outcomes(group, channel)):
            raise InvalidInput(
                _(
                    "This recipient group would be notified of the plan, but not of its outcome. Add rules for "
                    "these events first: %(events)s"
                )
                % {"events": left}
            )
        made = NotificationRule.objects.create(event=event, group=group, channel=channel, lead_hours=lead_hours)
        op.about(made, event=event, group=group.key if group is not None else "", channel=channel.key)
        op.signature()
    return made


def remove(rule_id: int, *, reason: str) -> NotificationRule:
    """Remove a rule; notifications already sent stay sent. Raises NotPossible, InvalidInput."""
    with operation("notification_rule:remove", (NotificationRule, rule_id), reason=reason, sign=True) as op:
        access.require("configure_notifications")
        row = op.get(NotificationRule)
        if row.removed_at is not None:
            raise NotPossible(_("This entry was already removed or cancelled."))
        op.require_reason()
        plans = NotificationRule.objects.filter(event=PLAN, group=row.group, channel=row.channel, removed_at=None)
        if row.event in ENDS and row.group is not None and plans.exists() and row.group.closed_at is None:
            raise InvalidInput(
                _(
                    "This recipient group is notified of the plan by this channel, so it must also be notified "
                    "of the outcome. Remove the rule “%(rule)s” first."
                )
                % {"rule": plans[0]}
            )
        row.removed_at = now()
        op.signature()
    return row


def unnotified_outcomes(group: RecipientGroup, channel: NotificationChannel) -> str:
    """Return the ends of a plan that no rule reports to a group by a channel, in words; empty for none."""
    rules = NotificationRule.objects.filter(group=group, channel=channel, removed_at=None, event__in=ENDS)
    missing = set(ENDS) - set(rules.values_list("event", flat=True))
    return listed(str(known.label) for end in ENDS if end in missing and (known := notification_event(end)) is not None)
