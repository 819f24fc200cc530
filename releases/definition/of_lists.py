"""The acts on holidays, freezes, roles of groups and recipients, which are made and ended and never edited."""

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from environments.models import Account, Environment
from environments.operations.freeze.lift import lift
from environments.operations.group_role.decide import end_group_role, request_group_role
from environments.operations.holiday.add import add as add_holiday
from environments.operations.holiday.remove import remove as remove_holiday
from environments.operations.window.create_freeze import freeze as set_freeze, freeze_recurring
from releases.definition.act import Act, Values, absent, act
from releases.definition.system import System
from releases.models import RecipientGroup
from releases.operations.recipient.add import add as add_recipient, remove as remove_recipient
from releases.queries import definition_files as files
from releases.queries.definition_files import Address


def holiday(system: System, address: Address, before: Values | None, after: Values | None) -> Iterator[Act]:
    if after is None or before is not None:
        # A day is never edited: it is removed, and the next plan adds it.
        row = system.row(*address)
        yield act(address, "holiday:remove", before, after, lambda reason: remove_holiday(row.pk, reason=reason))
        return
    day = files.Holiday.model_validate({"day": address[1], **after})
    yield act(
        address,
        "holiday:add",
        before,
        after,
        lambda reason: add_holiday(day=day.day, name_ja=day.ja, name_en=day.en, reason=reason),
    )


def freeze(system: System, address: Address, before: Values | None, after: Values | None) -> Iterator[Act]:
    if after is None:
        row = system.row(*address)
        yield act(address, "freeze:lift", before, after, lambda reason: lift(row.pk, reason=reason))
        return
    wanted = files.Freeze.model_validate(after)
    environment, application = ("environment", wanted.environment), ("application", wanted.application)

    def run(_reason: str) -> Any:
        found = system.row(*application)
        common: Any = {
            "name": wanted.name,
            "reason": wanted.reason,
            "absolute": wanted.full,
            "application_id": found.pk if found is not None else None,
        }
        place: Environment = system.row(*environment)
        if wanted.begins is not None and wanted.ends is not None:
            return set_freeze(place.pk, starts_at=wanted.begins, ends_at=wanted.ends, **common)
        assert wanted.start is not None and wanted.first_day is not None and wanted.last_day is not None
        return freeze_recurring(
            place.pk,
            rrule=wanted.rrule,
            start=wanted.start,
            length_minutes=wanted.length_minutes,
            first_day=wanted.first_day,
            last_day=wanted.last_day,
            **common,
        )

    yield act(address, "window:create_freeze", before, after, run, absent(system, environment, application))


def group_role(system: System, address: Address, before: Values | None, after: Values | None) -> Iterator[Act]:
    if after is None:
        row = system.row(*address)
        yield act(address, "group_role:end", before, after, lambda reason: end_group_role(row.pk, reason=reason))
        return
    _kind, group, role, environment, application, together = address
    places = (("environment", environment), ("application", application))

    def run(_reason: str) -> Any:
        keys = [row.pk if (row := system.row(*place)) is not None else None for place in places]
        return request_group_role(
            group=group,
            role=role,
            reason=after["reason"],
            environment_id=keys[0],
            application_id=keys[1],
            application_group=together,
        )

    yield act(address, "group_role:request", before, after, run, absent(system, *places), system.awaited.get(address))


def recipient(system: System, address: Address, before: Values | None, after: Values | None) -> Iterator[Act]:
    if after is None:
        row = system.row(*address)
        yield act(address, "recipient:remove", before, after, lambda reason: remove_recipient(row.pk, reason=reason))
        return
    group = RecipientGroup.objects.filter(key=address[1], closed_at=None).first()
    account = Account.objects.filter(username=address[2], kind=Account.Kind.PERSON, is_active=True).first()
    missing = address[1] if group is None else address[2]
    why = "" if group and account else _("“%(name)s” does not exist yet, or is retired.") % {"name": missing}
    yield act(
        address,
        "recipient:add",
        before,
        after,
        lambda reason: add_recipient(group.pk, account_id=account.pk, reason=reason) if group and account else None,
        why,
    )
