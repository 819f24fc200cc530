"""The recipients by rule: each person once, with every channel that a rule names for one of their groups."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from environments.models import Account
from releases import channel_types as channels
from releases.models import GroupRecipient, NotificationChannel, NotificationRule, RecipientGroup

# Quiet hours of people who are notified without a group because they must act; in the zone of the subject.
QUIET = (time(22), time(7))


@dataclass
class Recipient:
    """One person or place. outside: nothing is sent there before a second person has approved it.

    quiet: (from, until, zone) of each of its groups.
    """

    key: str
    name: str
    language: str
    outside: bool
    account: Account | None = None
    member: GroupRecipient | None = None
    address: str = ""
    channels: dict[int, NotificationChannel] = field(default_factory=dict)
    quiet: list[tuple[time, time, str]] = field(default_factory=list)


def rules_for(event: str, lead: int | None) -> list[NotificationRule]:
    """Return the rules of an event that count; lead: hours before something is due, None for an event without leads."""
    rows = NotificationRule.objects.filter(event=event, removed_at=None).select_related("group", "channel")
    return [
        rule
        for rule in rows
        if rule.lead_hours in (None, lead) and (rule.group is None or rule.group.closed_at is None)
    ]


def recipients(rules: Iterable[NotificationRule], acting: Iterable[Account], zone: str) -> list[Recipient]:
    """Return the recipients by rules. acting: the people who must act, for rules without a group; their quiet hours are
    of `zone`.

    A person who is in several groups, or counts as one with another account, is one recipient. A person is external
    only if each of their groups is; a place that an external group reads is external, whatever other groups read it.
    """
    found: dict[str, Recipient] = {}
    acting = list(acting)
    for rule in rules:
        kind = channels.by_name(rule.channel.channel_type)
        if kind.personal:
            for one in _persons(rule, acting, zone):
                if kind.within and one.account is None:
                    continue  # without an account there is no inbox
                known = found.setdefault(one.key, one)
                known.channels[rule.channel_id] = rule.channel
                known.quiet += [hours for hours in one.quiet if hours not in known.quiet]
                known.outside = known.outside and one.outside
        elif rule.channel.encrypted:
            place = found.setdefault(f"channel:{rule.channel.key}", _place(rule.channel))
            place.channels[rule.channel_id] = rule.channel
            place.outside = place.outside or (rule.group is not None and rule.group.outside)
            place.quiet.append(_hours(rule.group, zone))
    return list(found.values())


def not_before(recipient: Recipient, moment: datetime, urgent: bool) -> datetime:
    """Return when a recipient may be disturbed: now, or at the first end of their quiet hours."""
    if urgent or not recipient.quiet:
        return moment
    return min(_after(moment, *hours) for hours in recipient.quiet)


def _persons(rule: NotificationRule, acting: list[Account], zone: str) -> list[Recipient]:
    if rule.group is None:
        return [_account(one, _hours(None, zone), outside=False) for one in acting if one.is_active]
    hours = _hours(rule.group, zone)
    rows = rule.group.recipients.filter(removed_at=None).select_related("account")
    return [
        _account(row.account, hours, outside=rule.group.outside, member=row)
        if row.account is not None
        else Recipient(
            key=f"address:{row.address.lower()}",
            name=str(row),
            language=row.language,
            # A person without an account is external, whatever their group.
            outside=True,
            member=row,
            address=row.address,
            quiet=[hours],
        )
        for row in rows
        if row.account is None or row.account.is_active
    ]


def _account(
    account: Account, hours: tuple[time, time, str], *, outside: bool, member: GroupRecipient | None = None
) -> Recipient:
    if account.quiet_from is not None and account.quiet_until is not None:
        hours = (account.quiet_from, account.quiet_until, hours[2])
    return Recipient(
        key=f"person:{account.person_key}",
        name=str(account),
        language=account.language,
        outside=outside,
        account=account,
        member=member,
        address=account.email,
        quiet=[hours],
    )


def _place(channel: NotificationChannel) -> Recipient:
    return Recipient(
        key=f"channel:{channel.key}",
        name=channel.label_ja if channel.language == "ja" else channel.label_en,
        language=channel.language,
        outside=False,
    )


def _hours(group: RecipientGroup | None, zone: str) -> tuple[time, time, str]:
    return (group.quiet_from, group.quiet_until, group.zone) if group is not None else (*QUIET, zone)


def _after(moment: datetime, begins: time, ends: time, zone: str) -> datetime:
    """Return `moment`, or the end of the quiet hours that it lies in; hours may go over midnight."""
    local = moment.astimezone(ZoneInfo(zone))
    clock = local.time()
    over_midnight = begins > ends
    quiet = (clock >= begins or clock < ends) if over_midnight else begins <= clock < ends
    if not quiet:
        return moment
    day = local.date() + timedelta(days=1 if over_midnight and clock >= begins else 0)
    return datetime.combine(day, ends, ZoneInfo(zone))
