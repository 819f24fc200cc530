"""notification_rule:add, notification_rule:remove: who is told of what, by which channel, how early."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, WrongState
from environments import access
from environments.language import listed
from releases.letters.events import told
from releases.models import NotificationChannel, NotificationRule, RecipientGroup
from releases.procedures.ends_told import ENDS, PLAN


def add(
    *, event: str, group_id: int | None, channel_id: int, lead_hours: int | None = None, reason: str = ""
) -> NotificationRule:
    """Add a rule; without a group it is for those who must act. Raises Invalid."""
    with change("notification_rule:add", reason=reason, sign=True) as act:
        access.require("tell")
        known = told(event)
        if known is None:
            raise Invalid(_("No notification is sent for this event: %(event)s") % {"event": event})
        if group_id is None and not (known.duty or known.named or event.startswith("notification:")):
            raise Invalid(_("This event requires no action from anyone; choose a recipient group."))
        if lead_hours is not None and not known.leads:
            raise Invalid(_("Only a milestone notification can be sent hours in advance."))
        group = RecipientGroup.objects.filter(pk=group_id, closed_at=None).first() if group_id is not None else None
        if group_id is not None and group is None:
            raise Invalid(_("This recipient group does not exist."))
        if group is not None and group.outside and event.startswith("notification:"):
            raise Invalid(_("Only internal recipients can be notified of this event."))
        channel = NotificationChannel.objects.get(pk=channel_id)
        same = NotificationRule.objects.filter(
            event=event, group=group, channel=channel, lead_hours=lead_hours, removed_at=None
        )
        if same.exists():
            raise Invalid(_("The same notification rule already exists."))
        if event == PLAN and group is not None and (left := untold_ends(group, channel)):
            raise Invalid(
                _(
                    "This recipient group would be notified of the plan, but not of its outcome. Add rules for "
                    "these events first: %(events)s"
                )
                % {"events": left}
            )
        made = NotificationRule.objects.create(event=event, group=group, channel=channel, lead_hours=lead_hours)
        act.about(made, event=event, group=group.key if group is not None else "", channel=channel.key)
        act.signature("add_rule")
    return made


def withdraw(rule_id: int, *, reason: str) -> NotificationRule:
    """Withdraw a rule; what it has told stays told. Raises WrongState, Invalid."""
    with change("notification_rule:remove", (NotificationRule, rule_id), reason=reason, sign=True) as act:
        access.require("tell")
        row = act.get(NotificationRule)
        if row.removed_at is not None:
            raise WrongState(_("This entry was already removed or cancelled."))
        act.require_reason()
        plans = NotificationRule.objects.filter(event=PLAN, group=row.group, channel=row.channel, removed_at=None)
        if row.event in ENDS and row.group is not None and plans.exists() and row.group.closed_at is None:
            raise Invalid(
                _(
                    "This recipient group is notified of the plan by this channel, so it must also be notified "
                    "of the outcome. Remove the rule “%(rule)s” first."
                )
                % {"rule": plans[0]}
            )
        row.removed_at = now()
        act.signature("withdraw_rule")
    return row


def untold_ends(group: RecipientGroup, channel: NotificationChannel) -> str:
    """Return the ends of a plan that no rule tells a group of by a channel, in words; empty when it hears of each."""
    rules = NotificationRule.objects.filter(group=group, channel=channel, removed_at=None, event__in=ENDS)
    missing = set(ENDS) - set(rules.values_list("event", flat=True))
    return listed(str(known.label) for end in ENDS if end in missing and (known := told(end)) is not None)
