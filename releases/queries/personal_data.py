"""The personal data of a person that an erasure empties, and what stands against it. Operation and preview ask."""

from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from audit.clock import now
from audit.personal import TABLES
from environments.language import listed
from environments.models import AccessGrant, Account, RequestedChange
from releases.gates.authorship import excluded_of, words
from releases.models import GroupRecipient, InboxItem, NotificationDelivery, Release, SuppressedAddress, TeamMember


def personal_rows(person: Account | GroupRecipient) -> list[tuple[QuerySet[Any], dict[str, Any]]]:
    """Return the rows that hold personal data of a person, each kind with its columns and their empty values, in the
    order in which they are locked.
    """
    kinds = []
    for rows in _of_account(person) if isinstance(person, Account) else _of_recipient(person):
        empty = _empty(rows.model)
        kinds.append((rows.exclude(**empty).order_by("pk"), empty))
    return kinds


def _of_account(account: Account) -> tuple[QuerySet[Any], ...]:
    return (
        Account.objects.filter(pk=account.pk),
        RequestedChange.objects.filter(account=account),
        TeamMember.objects.filter(account=account),
        SuppressedAddress.objects.filter(address__iexact=account.email).exclude(address=""),
        NotificationDelivery.objects.filter(inbox_item__account=account),
    )


def _of_recipient(recipient: GroupRecipient) -> tuple[QuerySet[Any], ...]:
    """An address stands for one person, in whichever groups."""
    everywhere = [row.pk for row in _same(recipient)]
    items = InboxItem.objects.filter(account=None, group_recipient__in=everywhere)
    return (
        GroupRecipient.objects.filter(pk__in=everywhere),
        SuppressedAddress.objects.filter(address__iexact=recipient.address).exclude(address=""),
        items,
        NotificationDelivery.objects.filter(inbox_item__in=items.values("pk")),
    )


def _same(recipient: GroupRecipient) -> QuerySet[GroupRecipient]:
    """Return the rows of the person in all groups, the given one among them."""
    same = Q(address__iexact=recipient.address) & ~Q(address="")
    return GroupRecipient.objects.filter(same | Q(pk=recipient.pk), account=None)


def _empty(model: type[Any]) -> dict[str, Any]:
    """Return the personal columns of a model with their empty values."""
    columns = sorted(TABLES[model._meta.label].personal)
    defaults = {name: model._meta.get_field(name).get_default() for name in columns}
    return {name: {} if value is None else value for name, value in defaults.items()}


def why_not_erasable(person: Account | GroupRecipient) -> str:
    """Return why the personal data of a person can't be erased now; empty where they can."""
    why = _held(person) if isinstance(person, Account) else _received(person)
    if not why and not any(rows.exists() for rows, _values in personal_rows(person)):
        return _("No personal data of this person are left that can be erased.")
    return why


def _received(recipient: GroupRecipient) -> str:
    if recipient.account_id is not None:
        return _("This recipient has an account. Erase the personal data of the account.")
    if (row := _same(recipient).filter(removed_at=None).select_related("group").first()) is not None:
        return _("This person is a recipient in %(group)s. Remove them first.") % {"group": row.group}
    return ""


def _held(account: Account) -> str:
    if account.is_active:
        return _("This account is active. Deactivate it first.")
    if AccessGrant.objects.filter(Q(until=None) | Q(until__gt=now()), account=account, revoked_at=None).exists():
        return _("This account holds grants of access. Revoke them first.")
    member = TeamMember.objects.filter(account=account, release__state__in=Release.UNDER_WAY).first()
    if member is not None:
        return _("This person is in the team of %(release)s, which has not ended.") % {"release": member.release}
    under_way = Release.objects.filter(state__in=Release.UNDER_WAY).order_by("pk")
    kept_out = excluded_of(release.pk for release in under_way)
    for release in under_way:
        if duty := next((kept_out[release.pk][key] for key in account.identities if key in kept_out[release.pk]), ""):
            text = _("This person has a duty in %(release)s, which has not ended: %(duty)s.")
            return text % {"duty": words(duty), "release": release}
    if RequestedChange.objects.filter(account=account, decided_at=None).exists():
        return _("A requested change of this account waits. Confirm or reject it first.")
    return ""


def figures(person: Account | GroupRecipient) -> list[tuple[str, str]]:
    """Return the columns that an erasure empties, in words, with the number of rows of each kind; and the employee
    IDs that it keeps.
    """
    found = []
    for rows, empty in personal_rows(person):
        names = (str(rows.model._meta.get_field(name).verbose_name) for name in empty)
        found.append((str(rows.model._meta.verbose_name), f"{rows.count()} · {listed(names)}"))
    if isinstance(person, Account):
        earlier = sorted(key for key in person.own_keys - {person.person_key} if key.startswith(Account.PERSON_KEYS))
        kept = filter(None, [person.employee_id, *(key.removeprefix("employee:") for key in earlier)])
        found.append((str(Account._meta.get_field("kept_identities").verbose_name), listed(kept) or "—"))
    return found
