"""Verbs on recipient groups and their recipients."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext as _now, gettext_lazy as _

from releases.admin.operations.access import people
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import clock, length, reason, text
from releases.models import GroupRecipient, RecipientGroup
from releases.models.recipients import LANGUAGES
from releases.operations.recipient import add
from releases.operations.recipient_group import change as groups

Fields = Mapping[str, forms.Field]
NOTIFY = ("configure_notifications",)


def names_in(of: Any = None) -> Fields:
    """Return fields for a name in both languages, with the names of a row."""
    return {
        "label_ja": text(_("name (Japanese)"), initial=of.label_ja if of else "", most=200),
        "label_en": text(_("name (English)"), initial=of.label_en if of else "", most=200),
    }


def language_of(of: Any = None) -> forms.ChoiceField:
    """Return a choice of the language of a recipient or a channel."""
    return forms.ChoiceField(label=_("language"), choices=LANGUAGES, initial=of.language if of else "ja")


def _group(instance: Any) -> Fields:
    return {
        "key": forms.SlugField(label=_("key"), max_length=length(RecipientGroup, "key")),
        **names_in(),
        "side": forms.ChoiceField(label=_("internal or external"), choices=RecipientGroup.Side.choices),
        **reason(instance),
    }


def _hours(instance: Any) -> Fields:
    group = instance if isinstance(instance, RecipientGroup) else None
    same = _("The same time in both fields means no quiet hours. Urgent notifications are sent at any time.")
    return {
        **names_in(group),
        "quiet_from": clock(_("quiet hours start"), initial=group.quiet_from if group else None),
        "quiet_until": clock(_("quiet hours end"), initial=group.quiet_until if group else None, help_text=same),
        "zone": text(_("time zone"), initial=group.zone if group else "", most=length(RecipientGroup, "zone")),
        **reason(instance),
    }


def _member(instance: Any) -> Fields:
    person = people(_("person"))
    if isinstance(instance, RecipientGroup) and person.queryset is not None:
        person.queryset = person.queryset.exclude(memberships__in=instance.recipients.filter(removed_at=None))
    return {"account_id": person, **reason(instance)}


def _outsider(instance: Any) -> Fields:
    return {
        "name": text(_("full name"), most=length(GroupRecipient, "name")),
        "address": forms.EmailField(label=_("mail address")),
        "language": language_of(),
        "reason": text(_("reason")),
    }


def _closed(group: RecipientGroup) -> str:
    return _now("The recipient group is closed already.") if group.closed_at is not None else ""


def _removed(member: GroupRecipient) -> str:
    return _now("This recipient was removed already.") if member.removed_at is not None else ""


on_recipient_group = partial(Verb, "recipient_group", rights=NOTIFY)
on_recipient = partial(Verb, "recipient", rights=NOTIFY)
VERBS: tuple[Verb, ...] = (
    on_recipient_group("create", _("Create recipient group"), groups.create, fields=_group, makes=RecipientGroup),
    on_recipient_group(
        "edit", _("Edit recipient group"), groups.edit, model=RecipientGroup, fields=_hours, over=_closed
    ),
    on_recipient("add", _("Add recipient"), add.add, model=RecipientGroup, fields=_member, over=_closed),
    on_recipient(
        "add_without_account",
        _("Add recipient without account"),
        add.add_external,
        model=RecipientGroup,
        fields=_outsider,
        signs=True,
        over=_closed,
    ),
    on_recipient_group(
        "disable", _("Close recipient group"), groups.close, model=RecipientGroup, signs=True, danger=True, over=_closed
    ),
    on_recipient("remove", _("Remove recipient"), add.remove, model=GroupRecipient, danger=True, over=_removed),
)
