"""Verbs on windows, freezes, holidays and calendar addresses."""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import Model
from django.urls import reverse
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext as _now, gettext_lazy as _

from environments.models import Application, CalendarFeed, ChangeFreeze, ChangeWindow, Environment, Holiday
from environments.operations.calendar_feed import create as feeds, revoke
from environments.operations.freeze import lift
from environments.operations.holiday import add as holidays, remove as holiday_withdraw
from environments.operations.window import create_freeze as freezes
from releases.admin.components import calendar_preview as preview
from releases.admin.operations.base import Verb, removed, zone_of
from releases.admin.operations.fields import ZonedDateTimeField, clock, day, length, text
from releases.operations.window import cancel, request, set_rule

Fields = Mapping[str, forms.Field]
_WEEKLY = re.compile(r"FREQ=WEEKLY;BYDAY=((?:MO|TU|WE|TH|FR|SA|SU)(?:,(?:MO|TU|WE|TH|FR|SA|SU))*)")


def _moment(label: Any, instance: Any) -> forms.Field:
    return ZonedDateTimeField(label=label, zone=zone_of(instance))


def _whom() -> forms.Field:
    return forms.ModelChoiceField(
        label=_("application"), queryset=Application.objects.all(), required=False, empty_label=_("all applications")
    )


def _absolute() -> forms.Field:
    return forms.BooleanField(label=_("full freeze (applies to emergency releases too)"), required=False)


def _others(instance: Any) -> forms.Field:
    return forms.ModelMultipleChoiceField(
        label=_("also in"),
        queryset=Environment.objects.exclude(pk=getattr(instance, "pk", 0)),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Each environment gets its own change freeze, which is lifted separately."),
    )


def _freeze(instance: Any) -> Fields:
    return {
        "application_id": _whom(),
        "name": text(_("name"), most=length(ChangeFreeze, "name")),
        "starts_at": _moment(_("begins"), instance),
        "ends_at": _moment(_("ends"), instance),
        "also_in": _others(instance),
        "absolute": _absolute(),
        "reason": text(_("reason")),
    }


def _recurring(instance: Any) -> Fields:
    return {
        "application_id": _whom(),
        "name": text(_("name"), most=length(ChangeFreeze, "name")),
        "rrule": _days("FREQ=WEEKLY;BYDAY=FR", ChangeFreeze),
        "start": clock(_("start"), initial="17:00"),
        "length_minutes": _minutes(64 * 60, freezes.LONGEST_MINUTES),
        "first_day": day(_("first day")),
        "last_day": day(_("last day"), help_text=_("The last day is at most two years after the first day.")),
        "also_in": _others(instance),
        "absolute": _absolute(),
        "reason": text(_("reason")),
    }


class _DaysWidget(forms.MultiWidget):
    """A box for each weekday, and below them a line for a rule."""

    use_fieldset = True

    def decompress(self, value: str | None) -> list[Any]:
        weekly = _WEEKLY.fullmatch(value or "")
        return [weekly[1].split(","), ""] if weekly else [[], value or ""]


class _DaysField(forms.MultiValueField):
    """The days of a recurrence: weekdays, or a recurrence rule (RFC 5545) for all else. The value is the rule."""

    def __init__(self, rule: forms.CharField, **options: Any) -> None:
        names = [(code, WEEKDAYS[number]) for number, code in enumerate(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])]
        days = forms.MultipleChoiceField(choices=names, required=False, widget=forms.CheckboxSelectMultiple)
        days.widget.choices = names
        super().__init__(
            [days, rule],
            widget=_DaysWidget({"days": days.widget, "": rule.widget}),
            require_all_fields=False,
            **options,
        )

    def compress(self, given: list[Any]) -> str:
        days, rule = given or ([], "")
        if days and rule:
            raise forms.ValidationError(_now("Choose weekdays or write a rule, not both."))
        return rule or f"FREQ=WEEKLY;BYDAY={','.join(days)}"


def _days(initial: str, model: type[Model]) -> forms.Field:
    return _DaysField(
        forms.CharField(
            required=False,
            max_length=length(model, "rrule"),
            widget=forms.TextInput(attrs={"aria-label": _("recurrence rule")}),
        ),
        label=_("weekdays, or a recurrence rule"),
        initial=initial,
        help_text=_(
            "FREQ=MONTHLY;BYDAY=3WE: each third Wednesday. FREQ=MONTHLY;BYMONTHDAY=-1: the last day of each month."
        ),
    )


def _minutes(initial: int, most: int) -> forms.Field:
    return forms.IntegerField(label=_("length in minutes"), initial=initial, min_value=1, max_value=most)


def _extra(instance: Any) -> Fields:
    return {
        "application_id": _whom(),
        "name": text(_("name"), most=length(ChangeWindow, "name")),
        "starts_at": _moment(_("opens"), instance),
        "ends_at": _moment(_("closes"), instance),
        "reason": text(_("reason")),
    }


def _rule(instance: Any) -> Fields:
    rules = ChangeWindow.objects.in_effect().filter(environment=instance, from_procedure=False).exclude(rrule="")
    return {
        "application_id": _whom(),
        "replaces_id": forms.ModelChoiceField(label=_("replaces"), queryset=rules, required=False, empty_label="—"),
        "name": text(_("name (Japanese)"), most=length(ChangeWindow, "name")),
        "name_en": text(_("name (English)"), required=False, most=length(ChangeWindow, "name_en")),
        "rrule": _days("FREQ=MONTHLY;BYDAY=3WE", ChangeWindow),
        "start": clock(_("start"), initial="01:00"),
        "length_minutes": _minutes(240, set_rule.LONGEST_MINUTES),
        "zone": text(
            _("time zone"), required=False, most=length(ChangeWindow, "zone"), initial=getattr(instance, "zone", "")
        ),
        "day_offset": forms.IntegerField(
            label=_("day offset"),
            initial=0,
            required=False,
            min_value=-set_rule.FARTHEST_DAYS,
            max_value=set_rule.FARTHEST_DAYS,
            help_text=_("1: the night that follows the day"),
        ),
        "since": day(_("recurrence start"), required=False),
        "country": forms.CharField(
            label=_("country of the holidays"),
            initial=request.holiday_country(None),
            min_length=2,
            max_length=2,
            help_text=_("two letters, such as JP"),
        ),
        "on_holiday": forms.ChoiceField(label=_("holiday handling"), choices=ChangeWindow.OnHoliday.choices),
        "reason": text(_("reason")),
    }


def _freeze_there(
    pk: int, *, application_id: int | None, also_in: Iterable[Environment], **values: Any
) -> ChangeFreeze:
    return freezes.freeze(pk, application_id=application_id, also_in=[place.pk for place in also_in], **values)


def _freeze_again_and_again(
    pk: int, *, application_id: int | None, also_in: Iterable[Environment], **values: Any
) -> ChangeFreeze:
    places = [place.pk for place in also_in]
    return freezes.freeze_recurring(pk, application_id=application_id, also_in=places, **values)


def _set_rule(pk: int, *, application_id: int | None, day_offset: int | None, **values: Any) -> ChangeWindow:
    return set_rule.set_rule(pk, application_id=application_id, day_offset=day_offset or 0, **values)


def _holiday(instance: Any) -> Fields:
    return {
        "day": day(_("day")),
        "name_ja": text(_("name (Japanese)"), most=length(Holiday, "name_ja")),
        "name_en": text(_("name (English)"), most=length(Holiday, "name_en")),
        "reason": text(_("reason"), required=False),
    }


def _revoked(feed: CalendarFeed) -> str:
    return _now("This address was revoked already.") if feed.revoked_at is not None else ""


def _address(pk: int) -> CalendarFeed:
    made, secret = feeds.create(pk)
    shown: Any = made  # the page shows these once
    shown.secret = settings.BASE_URL.rstrip("/") + reverse("calendar-feed", args=[secret])
    shown.secret_words = _now("Calendar address, shown only this once: %(secret)s")
    return made


on_window = partial(Verb, "window", model=Environment)
on_holiday = partial(Verb, "holiday", rights=("plan",), signs=True)
on_calendar_feed = partial(Verb, "calendar_feed")
VERBS: tuple[Verb, ...] = (
    on_window(
        "request",
        _("Request extra window"),
        request.request_window,
        ("request_window",),
        fields=_extra,
        preview=preview.of_extra,
    ),
    on_window(
        "set_rule",
        _("Set recurring change window"),
        _set_rule,
        ("request_window",),
        fields=_rule,
        preview=preview.of_new_rule,
    ),
    on_window(
        "cancel",
        _("Cancel change window"),
        cancel.cancel,
        ("request_window",),
        model=ChangeWindow,
        signs=True,
        danger=True,
        over=cancel.over,
        preview=preview.of_withdrawal,
    ),
    on_window(
        "create_freeze",
        _("Set change freeze"),
        _freeze_there,
        ("plan",),
        fields=_freeze,
        signs=True,
        preview=preview.of_freeze,
    ),
    on_window(
        "create_recurring_freeze",
        _("Set recurring change freeze"),
        _freeze_again_and_again,
        ("plan",),
        fields=_recurring,
        signs=True,
        preview=preview.of_recurring_freeze,
    ),
    Verb(
        "freeze",
        "lift",
        _("Lift change freeze"),
        lift.lift,
        ("plan",),
        ChangeFreeze,
        signs=True,
        danger=True,
        over=lift.over,
        preview=preview.of_lifting,
    ),
    on_holiday("add", _("Add holiday"), holidays.add, fields=_holiday, preview=preview.of_holiday, makes=Holiday),
    on_holiday(
        "remove",
        _("Remove holiday"),
        holiday_withdraw.remove,
        model=Holiday,
        danger=True,
        over=removed,
        preview=preview.of_working,
    ),
    on_calendar_feed("create", _("Create calendar address"), _address, feeds.RIGHTS, model=Application),
    on_calendar_feed(
        "revoke",
        _("Revoke calendar address"),
        revoke.revoke,
        (),
        model=CalendarFeed,
        danger=True,
        over=_revoked,
        why_not_permitted=revoke.why_not_permitted,
    ),
)
