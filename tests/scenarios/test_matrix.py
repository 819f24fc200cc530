"""Person × verb × environment × state: a refusal leaves the database unchanged, except for the refused event.

The grid: every verb of the admin, through its operation with the values that its form would bring; nine members of the
cast, and one who holds a role in one environment only; every state of its machine for a row that has one, reached along
the product's edges; for deployments the three environments, in the lower two of them in four states. All persons of a
cell try on the same rows, in one transaction that is rolled back; each success is rolled back at once. Where the state
refuses everybody two of them try, by turns: any person, and one to whom the verb is offered (all ten with
RINGI_TEST_FULL_MATRIX=1). The whole of the audited tables is compared before and after, and each refusal must have left
exactly one event.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django import forms
from django.apps import apps
from django.db import connection, models, transaction

from audit.actor import acting, current
from audit.audited_tables import AUDITED_TABLES
from audit.operation import operation
from audit.refusals import OperationRefused, SignatureRequired
from environments.admin.rights import read_rights
from environments.models import Account
from releases.admin.operations import VERBS
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import FilesField
from releases.models import Deployment, Procedure, Release
from releases.procedures.load import default_text
from releases.state_machines.edges import edges, initial
from tests.releases.gates.asking import COMMAND
from tests.scenarios.cells import Rows

PERSONS = (
    "administrator",
    "manager",
    "project_manager",
    "developer",
    "committee_a",
    "operator",
    "auditor",
    "outsider",
    "ci",
    "operator_staging",
)
WHOLE = bool(os.environ.get("RINGI_TEST_FULL_MATRIX"))
NEVER = ("auditor", "outsider")
# Verbs for everybody who may look: about themselves alone.
ONES_OWN = {"account:edit_own", "access:request", "delegation:request", "inbox:mark_all_read"}
# An auditor may end a request to close a year; the year stays open.
AUDITORS = {("auditor", "year:reject_closing")}
# These read the repository first, in an operation of its own (release:refresh_from_git) whose result stays.
LOOKING = {"release:submit", "release:sign_final_check", "deployment:schedule"}
FACTS = frozenset({"releases.Fact"})
RETIRED = ("procedure:request_restore", "procedure:withdraw_restore")
# How many people try a verb on one row, where it is tried on many.
EACH_TURN = 2
LOWER_STATES = ("requested", "scheduled", "failed", "monitoring")


@contextmanager
def rolled_back() -> Iterator[None]:
    """Run the block in one transaction, and roll it back; the operation's own transactions become parts of it."""
    outer = transaction.atomic()
    outer._from_testcase = True  # as Django's own test cases do
    with outer:
        yield
        transaction.set_rollback(True)


@pytest.fixture
def digests(rows: Rows) -> None:
    """Install the functions behind `whole`: a function keeps its plan, and planning for so many tables takes long."""
    for name, without in (("all", frozenset()), ("but_facts", FACTS)):
        statement = _statement(without)
        with connection.cursor() as cursor:
            cursor.execute(
                f"CREATE FUNCTION pg_temp.whole_{name}() RETURNS text LANGUAGE plpgsql AS"
                f" $$ BEGIN RETURN ({statement}); END $$"
            )


def whole() -> str:
    """Return one digest over all audited tables.

    Of each row its place and its writing transaction: a write, even of the same values, changes both.
    """
    return _digest_of(_statement(frozenset()))


def _laid(without: frozenset[str]) -> str:
    return _digest_of(f"SELECT pg_temp.whole_{'but_facts' if without else 'all'}()")


def _digest_of(statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        (found,) = cursor.fetchone()
    return str(found)


def _statement(without: frozenset[str]) -> str:
    parts = []
    for row in AUDITED_TABLES:
        if row.model in without:
            continue
        app, _dot, rest = row.model.partition(".")
        name, _dot, through = rest.partition(".")
        model: Any = apps.get_model(app, name)
        if through:
            model = getattr(model, through).through
        table = connection.ops.quote_name(model._meta.db_table)
        rows = f"SELECT ctid, xmin FROM {table} ORDER BY ctid"
        parts.append(f"SELECT md5(coalesce(string_agg(t::text, '|'), '')) AS part FROM ({rows}) t")
    return f"SELECT md5(string_agg(part, '|' ORDER BY part)) FROM ({' UNION ALL '.join(parts)}) parts"


def refusals() -> int:
    """Return how many refused events there are."""
    from audit.models import Event

    return Event.objects.filter(outcome="refused").count()


def walked(row: Any, state: str) -> Any:
    """Move a row to a state of its machine along the shortest path of the product's edges."""
    model = type(row)
    ways: dict[str, list[str]] = {initial(model): []}
    waiting = deque(ways)
    while waiting:
        place = waiting.popleft()
        for edge in edges(model):
            if edge.source == place and edge.target not in ways:
                ways[edge.target] = [*ways[place], edge.verb]
                waiting.append(edge.target)
    for verb in ways[state]:
        with acting(COMMAND), operation("test:walk", (model, row.pk)) as op:
            getattr(op.get(model), verb)()
    return model._default_manager.get(pk=row.pk)


def value(field: forms.Field, instance: Any) -> Any:
    """Return the value that a form would send for a field, as the verb's operation gets it."""
    if hasattr(field, "key"):  # an option of a deployment target stays as it is
        return field.clean(field.prepare_value(field.initial))
    if isinstance(field, forms.ModelMultipleChoiceField):
        return list(field.queryset[:1])
    if isinstance(field, forms.ModelChoiceField):
        rows = field.queryset
        # A person who is offered none sends one nevertheless.
        found = (rows.first() or rows.model._default_manager.first()) if field.required else None
        return found.pk if found is not None else None
    if isinstance(field, forms.MultipleChoiceField):
        return [key for key, _label in field.choices]
    if isinstance(field, forms.TypedChoiceField):
        return True
    if isinstance(field, forms.ChoiceField):
        chosen = [key for key, _label in field.choices if key]
        return field.initial if field.initial in chosen else chosen[0] if chosen else ""
    if isinstance(field, forms.FileField):
        from django.core.files.base import ContentFile

        if isinstance(field, FilesField):
            return [ContentFile(b'<testsuite tests="1"><testcase name="a"/></testsuite>', name="report.xml")]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("calendar.toml", "holidays = []")
        return ContentFile(packed.getvalue(), name="definition.zip")
    given: Any = field.initial() if callable(field.initial) else field.initial
    if isinstance(field, forms.IntegerField):
        return given if given is not None else 1
    if isinstance(field, forms.DateTimeField):
        return datetime.now(UTC) + timedelta(hours=1)
    if isinstance(field, forms.DateField):
        return (datetime.now(UTC) + timedelta(days=9)).date()
    if isinstance(field, forms.TimeField):
        return time(1)
    if isinstance(field, forms.JSONField):
        return {}
    if isinstance(field, forms.BooleanField):
        return bool(given)
    plain = type(field).__name__
    if plain in ("LinesField", "PairsField"):
        return field.to_python(given or "")
    return given or "written"


def cells(rows: Rows) -> Iterator[tuple[Verb, Any, str]]:
    """Yield every verb with each row and state on which it is tried."""
    for verb in VERBS:
        if verb.model is None:
            yield verb, None, ""
            continue
        for row in rows.of(verb.model):
            if not hasattr(row, "state"):
                yield verb, row, ""
                continue
            lower = verb.model is Deployment and row.environment.slug != "production"
            for state in LOWER_STATES if lower else sorted(type(row).State.values):
                if verb.model is not Procedure or state not in ("in_effect", "retired"):  # there is one that is active
                    yield verb, row, str(state)


def visited(rows: Rows) -> list[tuple[Verb, Any, str]]:
    """Return the cells that are tried: all, or of each verb every sixth of those whose state refuses everybody."""
    found, closed = [], Counter[str]()
    for verb, row, state in cells(rows):
        if bool(state) and state not in opening(verb):
            closed[verb.key] += 1
            if not WHOLE and closed[verb.key] % 6 != 1:
                continue
        found.append((verb, row, state))
    return found


def opening(verb: Verb) -> set[str]:
    """Return the states in which a verb is not refused to everybody."""
    assert verb.model is not None
    if verb.states or not verb.edge:
        return set(verb.states) or set(verb.model.State.values)
    return {edge.source for edge in edges(verb.model) if edge.verb == verb.edge}


def turns(verb: Verb, instance: Any, tally: Counter[Any], *, seldom: bool) -> tuple[str, ...]:
    """Return who tries a verb on a row: everybody, or of a verb that is tried on many rows some in turn and one who
    may.
    """
    if WHOLE or seldom:
        return PERSONS
    ordered = sorted(PERSONS, key=lambda name: tally[name, verb.key])
    tried, others = ordered[:EACH_TURN], ordered[EACH_TURN:]
    accounts = Account.objects.in_bulk(others, field_name="username")
    who = next((name for name in others if verb.for_you(read_rights(accounts[name]), instance)), others[0])
    return (*tried, who)


def try_all(rows: Rows, verb: Verb, row: Any, state: str, tally: Counter[Any], *, seldom: bool) -> None:
    """Let the people of this turn try a verb on a row in a state; compare the database around the refusals."""
    with rolled_back():
        instance = walked(row, state) if state else row
        without = FACTS if verb.key in LOOKING else frozenset()
        before, events, refused, early = _laid(without), refusals(), 0, 0
        for name in turns(verb, instance, tally, seldom=seldom):
            with rows.world.acting_as(name):
                arguments = {key: value(field, instance) for key, field in verb.form_fields(instance).items()}
                if verb.key == "procedure:load":
                    arguments["content"] = default_text().replace('"1.0.1"', '"1.9.8"')
                if verb.key == "team:assign":  # its form asks for one person at least
                    arguments |= {"implementer_account_id": current().account_id, "implementer_telephone": "1"}
                if verb.key == "deployment_process:create":
                    arguments["content"] = "format = 1\n"
                tally[name, verb.key] += 1
                point = transaction.savepoint_create()
                try:
                    verb.operation(*([] if row is None else [row.pk]), **arguments)
                except OperationRefused as no:
                    # A request for re-authentication is no refusal: it leaves nothing at all.
                    refused += not (isinstance(no, SignatureRequired) and current().kind == "person")
                    early += no.kind == "invalid_input"  # an invalid request may be refused before an operation is open
                    transaction.savepoint_commit(point)
                    tally[f"{verb.key} refused"] += 1
                    continue
                except forms.ValidationError:
                    tally["invalid"] += 1
                else:
                    theirs = verb.key in ONES_OWN or (name, verb.key) in AUDITORS
                    assert name not in NEVER or theirs, f"{name} did {verb.key} on {instance} {state}"
                    tally[f"{verb.key} done"] += 1
                transaction.savepoint_rollback(point)
        place = f"{verb.key} on {instance} {state}"
        assert _laid(without) == before, f"{place}: a refusal has left something"
        assert refused - early <= refusals() - events <= refused, (
            f"{place}: {refused} refusals, {refusals() - events} events"
        )


@pytest.mark.timeout(900)
def test_a_refusal_leaves_only_its_event(rows: Rows, digests: None) -> None:
    tally: Counter[Any] = Counter()
    tried, grid = 0, visited(rows)
    often = Counter(verb.key for verb, _row, _state in grid)
    for verb, row, state in grid:
        try_all(rows, verb, row, state, tally, seldom=often[verb.key] * EACH_TURN < len(PERSONS))
        tally[verb.key] += 1
        tried += 1
    done = {verb.key for verb in VERBS if tally[f"{verb.key} done"]}
    never_refused = {verb.key for verb in VERBS if not tally[f"{verb.key} refused"]}
    print(
        f"{tried} cells, {sum(tally[f'{verb.key} refused'] for verb in VERBS)} refusals,"
        f" {sum(tally[f'{verb.key} done'] for verb in VERBS)} done; never done:"
        f" {sorted({v.key for v in VERBS} - done)}"
    )
    assert not never_refused - set(RETIRED), never_refused
    # A retired version is not among the states here; tests/releases/operations/test_restore_procedure.py has one.
    everywhere = [verb.key for verb in VERBS if verb.key not in RETIRED]
    assert not [(name, key) for name in PERSONS for key in everywhere if not tally[name, key]]
    assert len(done) > len(VERBS) / 2, sorted({v.key for v in VERBS} - done)


def test_the_grid_contains_every_state_and_every_person(rows: Rows) -> None:
    found = list(cells(rows))
    assert {verb.key for verb, _row, _state in found} == {verb.key for verb in VERBS}
    assert {state for verb, _row, state in found if verb.model is Release} == set(Release.State.values)
    places = {(row.environment.slug, state) for verb, row, state in found if verb.model is Deployment}
    assert {state for slug, state in places if slug == "production"} == set(Deployment.State.values)
    assert {slug for slug, _state in places} == {"development", "staging", "production"}
    assert Account.objects.filter(username__in=PERSONS).count() == len(PERSONS)
    assert isinstance(rows.of(Release)[0], models.Model)
