"""The tables in the archive of a closed year: rights, reviews, checks of the ledger, saved tests. Each is made whole.

They are in the language of the installation, with times in ISO form.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import rfc8785
from django.conf import settings
from django.db.models import Q
from django.utils import translation
from django.utils.translation import gettext as _

from audit.admin import sheet
from audit.models import ClosedYear, Event
from audit.reconciliation import nightly
from audit.standing import OUTCOME as VERIFIED
from environments.access_as_of import AccessAsOf
from environments.models import AccessReviewItem, Application, Environment
from environments.models.role import role_names
from environments.times import ZONE
from releases.reporting.audit_tests import TESTS
from releases.reporting.audit_tests.base import Scope
from releases.reporting.evidence_pack.collected import plain
from releases.reporting.evidence_pack.population import Population
from releases.reporting.evidence_pack.population_table import table

Table = tuple[Iterable[Any], Iterable[Iterable[Any]]]


def closing(row: ClosedYear) -> bytes:
    """Return what two people signed, and who they were."""
    names = ("reason", "requested_by", "requested_at", "confirmed_by", "confirmed_at", "digest")
    return bytes(rfc8785.dumps({"contents": row.contents, **{name: plain(getattr(row, name)) for name in names}}))


def population(whole: Population) -> bytes:
    """Return the list of the production deployments."""
    with translation.override(settings.LANGUAGE_CODE):
        return _csv(table(whole.of, whole.changes))


def tables(row: ClosedYear) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every other table."""
    scope = Scope(row.since, row.until)
    makers: dict[str, Callable[[], Table]] = {
        "access/grants.csv": lambda: _grants(scope.then, row.until - timedelta(microseconds=1)),
        "access/reviews.csv": lambda: _reviews(row),
        "ledger/reconciliations.csv": lambda: _outcomes(row, nightly.OUTCOME, nightly.ALARM),
        "ledger/verifications.csv": lambda: _outcomes(row, VERIFIED),
    }
    for name, make in makers.items():
        with translation.override(settings.LANGUAGE_CODE):
            content = _csv(make())
        yield name, content
    overview = list[list[Any]]()
    for test in TESTS:
        with translation.override(settings.LANGUAGE_CODE):
            outcome = test.run(scope)
            content = _csv((test.columns, (one.cells for one in outcome.rows)))
            notes = "; ".join(f"{name}: {value}" for name, value in outcome.notes)
            overview.append([test.key, test.title, test.question, outcome.examined, len(outcome.rows), notes])
        yield f"audit-tests/{test.key}.csv", content
    with translation.override(settings.LANGUAGE_CODE):
        head = (_("key"), _("test"), _("question"), _("examined"), _("rows"), _("notes"))
        content = _csv((head, overview))
    yield "audit-tests/tests.csv", content


def _csv(made: Table) -> bytes:
    return "".join(sheet.lines(*made, write=_cell)).encode()


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        value = value.astimezone(ZoneInfo(ZONE)).isoformat(timespec="seconds")
    return sheet.cell(value)


def _grants(then: AccessAsOf, moment: datetime) -> Table:
    """Return each role in effect at a moment: whose, where, and by which grant."""
    people, names = then.people(moment), role_names()
    places: dict[int | None, str] = {row.pk: str(row) for row in Environment.objects.all()}
    applications = {row.pk: str(row) for row in Application.objects.all()}
    rows = []
    for held in sorted(then.held(moment), key=lambda one: int(one.grant.pk)):
        person, values = people.get(held.account), held.grant.values
        named = sorted(held.applications) if held.applications is not None else []
        rows.append(
            [
                held.grant.pk,
                held.account,
                person.name if person is not None else "",
                names.get(held.role, held.role),
                places.get(held.environment, held.environment),
                ", ".join(applications.get(pk, str(pk)) for pk in named),
                values["starts_at"],
                values["until"],
                values["reason"],
                held.grant.number,
            ]
        )
    head = (_("grant"), _("account"), _("person"), _("role"), _("environment"), _("applications"))
    return (*head, _("start"), _("end"), _("reason"), _("event")), rows


def _reviews(row: ClosedYear) -> Table:
    """Return each grant of a review that was open in the year, with its decision."""
    ended = Q(review__closed_at=None) | Q(review__closed_at__gte=row.since)
    items = AccessReviewItem.objects.filter(ended, review__opened_at__lt=row.until).order_by("review_id", "pk")
    related = ("review__opened_by", "grant__account", "grant__role", "grant__environment", "decided_by")
    rows = (
        [
            item.review_id,
            item.review.opened_by,
            item.review.opened_at,
            item.review.closed_at,
            item.grant_id,
            item.grant.account,
            item.grant.role,
            item.grant.place,
            item.get_result_display(),
            item.decided_by,
            item.decided_at,
            item.note,
        ]
        for item in items.select_related(*related)
    )
    head = (_("review"), _("opened by"), _("opened"), _("closed"), _("grant"), _("person"), _("role"))
    return (*head, _("environment"), _("result"), _("decided by"), _("decided"), _("note")), rows


def _outcomes(row: ClosedYear, *operations: str) -> Table:
    """Return the events of these operations in the year."""
    found = Event.objects.filter(operation__in=operations, kind="operation", outcome="done")
    found = found.filter(ledger_entry__number__range=(row.first, row.last)).select_related("ledger_entry")
    rows = (
        [event.ledger_entry.number, event.at, event.operation, event.object, json.dumps(event.contents["after"])]
        for event in found.order_by("ledger_entry__number")
    )
    return (_("event"), _("time"), _("operation"), _("object"), _("details")), rows
