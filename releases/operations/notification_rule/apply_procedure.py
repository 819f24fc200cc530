"""Creates the groups, channels, rules and templates that a procedure names, when it is put into effect."""

from audit.clock import now
from releases import channel_types
from releases.models import NotificationChannel, NotificationRule, NotificationTemplate, RecipientGroup
from releases.notifications.templates.events import EVENTS, notification_event
from releases.procedures.document import Procedure as Content


def apply_notification_settings(content: Content) -> None:
    """Create what a procedure names, inside an open operation; rules that only the earlier one has are removed.

    Groups and channels keep what people have entered since: recipients, hours, addresses. The procedure decides whether
    a group is internal or external.
    """
    groups, ways = {}, {}
    for group in content.recipient_groups:
        made = {"label_ja": group.ja, "label_en": group.en, "side": group.side, "from_procedure": True}
        there, _new = RecipientGroup.objects.get_or_create(key=group.key, defaults=made)
        if there.from_procedure and there.side != group.side:
            there.side = group.side
            there.save()
        groups[group.key] = there
    for channel in content.channels:
        made = {"label_ja": channel.ja, "label_en": channel.en, "channel_type": channel.type, "from_procedure": True}
        ways[channel.key], _new = NotificationChannel.objects.get_or_create(key=channel.key, defaults=made)
    for event in EVENTS:
        NotificationTemplate.objects.get_or_create(event=event.key)
    wanted = set()
    for rule in content.notification_rules:
        known = notification_event(rule.event)
        if known is None:
            continue
        to = [groups[key] for key in rule.recipient_groups] + [None] * rule.must_act
        leads: tuple[int | None, ...] = rule.lead_hours if rule.lead_hours and known.leads else (None,)
        wanted |= {
            (rule.event, group.pk if group is not None else None, ways[key].pk, lead)
            for group in to
            for key in rule.channels
            for lead in leads
            # A room that the procedure names is internal. External recipients have channels and rules of their own;
            # otherwise internal notifications would wait until they are approved for external recipients.
            if not (group is not None and group.outside) or channel_types.by_name(ways[key].channel_type).personal
        }
    present = NotificationRule.objects.select_for_update(no_key=True).filter(removed_at=None)
    for row in present:
        found = (row.event, row.group_id, row.channel_id, row.lead_hours)
        if found in wanted:
            wanted.discard(found)
        elif row.from_procedure:
            row.removed_at = now()
            row.save()
    for event_key, group_id, channel_id, lead in sorted(wanted, key=str):
        NotificationRule.objects.create(
            event=event_key, group_id=group_id, channel_id=channel_id, lead_hours=lead, from_procedure=True
        )
