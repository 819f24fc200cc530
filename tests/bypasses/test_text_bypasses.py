"""Texts that are too long or malformed are refused with a message, and nothing fails, one test a case."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from django import forms

from audit.actor import acting
from audit.models import Event
from audit.operation import operation
from audit.refusals import InvalidInput, OperationRefused
from environments.admin.rights import read_rights
from environments.models import Account
from environments.operations.account.create import create
from releases.admin.operations import VERBS
from releases.admin.operations.base import Verb
from tests.bypasses.test_factor_bypasses import arguments
from tests.releases.api.conftest import ask, call, managing
from tests.releases.gates.asking import COMMAND
from tests.scenarios.cells import Rows
from tests.scenarios.test_matrix import PERSONS, rolled_back

__all__ = ["call", "managing"]
LONG = "長" * 70_000


def fields_of(rows: Rows, verb: Verb, row: Any) -> Mapping[str, forms.Field]:
    """Return the fields of an operation's form, as an administrator sees it."""
    with rows.world.acting_as("administrator"):
        return verb.form_fields(row)


def test_no_operation_falls_over_a_long_text(rows: Rows) -> None:
    """Every operation, past its form: the database's limit becomes a refusal with a message."""
    fallen = {}
    for verb in VERBS:
        for row in [None] if verb.model is None else rows.of(verb.model):
            name = next(
                (name for name in PERSONS if verb.for_you(read_rights(rows.world.people[name]), row)), "manager"
            )
            with rolled_back(), rows.world.acting_as(name):
                given = arguments(rows, verb, row)
                given |= {key: LONG for key, old in given.items() if old == "written"}
                try:
                    verb.operation(*([] if row is None else [row.pk]), **given)
                except (OperationRefused, forms.ValidationError):
                    continue
                except Exception as fault:  # noqa: BLE001  all other exceptions are reported together
                    fallen[verb.key] = f"{type(fault).__name__}: {fault}"[:120]
    assert not fallen


def test_json_that_readers_take_in_two_ways_is_refused_with_a_message(people: dict[str, Any]) -> None:
    for value in ({"é": 1, "e\u0301": 2}, json.loads("[" * 150 + "]" * 150)):
        with (
            acting(COMMAND),
            pytest.raises(InvalidInput, match="a key twice or is nested too deeply"),
            operation("suppressed_address:enable") as op,
        ):
            op.details["value"] = value
    assert [event.outcome for event in Event.objects.filter(operation="suppressed_address:enable")] == [
        "refused",
        "refused",
    ]


def test_the_message_says_how_long_it_may_be(people: dict[str, Any]) -> None:
    with acting(COMMAND), pytest.raises(InvalidInput, match="longer than 100 characters"):
        create(username="long", display_name="長" * 101, kind="person")
    assert not Account.objects.filter(username="long").exists()
    assert Event.objects.filter(operation="account:create", outcome="refused").count() == 1
    with acting(COMMAND):
        create(username="long", display_name="長" * 100, kind="person")


def test_every_form_of_the_admin_has_a_limit(rows: Rows) -> None:
    """So that the field itself says it, before anything is signed."""
    without = {
        f"{verb.key} {name}"
        for verb in VERBS
        for row in ([None] if verb.model is None else rows.of(verb.model))
        for name, field in fields_of(rows, verb, row).items()
        if type(field) is forms.CharField and field.max_length is None
    }
    assert not without


def test_a_page_and_the_api_answer_with_a_message(
    people: dict[str, Any], browsers: Callable[[str], Any], call: Callable[..., Any], world: Any, managing: str
) -> None:
    fields = {"role": "tester", "reason": LONG}
    page = browsers("administrator").post(f"/admin/operation/access/grant/{people['outsider'].pk}/", fields)
    assert page.status_code == 400 and "at most 300 characters" in page.content.decode()
    release = world.planned()
    change = {"kind": "fix", "text": "x", "ticket": "T" * 150}
    for body in (change, change | {"ticket": "", "text": LONG}, change | {"ticket": "", "reason": LONG}):
        answer = ask("post", f"/releases/{release.pk}/add_change_entry", body, token=managing)
        assert answer.status_code == 422 and answer.json()["reasons"], body


def test_no_operation_takes_a_required_text_that_cannot_be_seen(rows: Rows) -> None:
    """Every operation, past its form: spaces, joiners, fillers and marks without a shape are no reason and no name."""
    taken, tried = set(), 0
    for verb in VERBS:
        for row in [None] if verb.model is None else rows.of(verb.model)[:2]:
            name = next(
                (name for name in PERSONS if verb.for_you(read_rights(rows.world.people[name]), row)), "manager"
            )
            with rolled_back(), rows.world.acting_as(name):
                fields = verb.form_fields(row)
                for key in {"reason", "comment", "note", "answer", "evidence", "minutes"} & set(fields):
                    # A draft may have gaps; the check before testing names them.
                    if not fields[key].required or verb.key == "release:edit":
                        continue
                    tried += 1
                    for unseen in ("\u3000", "\u200b\u200d", "\u3164", "\u2060\ufe0f"):
                        try:
                            given = arguments(rows, verb, row) | {key: fields[key].clean(unseen)}
                            with rolled_back():
                                verb.operation(*([] if row is None else [row.pk]), **given)
                        except (OperationRefused, forms.ValidationError):
                            continue
                        taken.add((verb.key, key, ascii(unseen)))
    assert not taken
    assert tried > 50


def test_no_operation_takes_a_name_with_hidden_characters(rows: Rows) -> None:
    """What turns the order of letters round, or cannot be seen, would make one name look like another."""
    taken, tried = set(), 0
    for verb in VERBS:
        for row in [None] if verb.model is None else rows.of(verb.model)[:1]:
            name = next(
                (name for name in PERSONS if verb.for_you(read_rights(rows.world.people[name]), row)), "manager"
            )
            with rolled_back(), rows.world.acting_as(name):
                for key in {"name", "name_en", "name_ja", "display_name", "title"} & set(verb.form_fields(row)):
                    # Keys of rows where the helper gives rows; a view's name is its owner's alone.
                    if verb.key in ("window:create_freeze", "window:create_recurring_freeze", "saved_view:save"):
                        continue
                    tried += 1
                    for hidden in ("plan\u202eexe", "plan\u200bb"):
                        try:
                            with rolled_back():
                                verb.operation(
                                    *([] if row is None else [row.pk]), **arguments(rows, verb, row) | {key: hidden}
                                )
                        except OperationRefused:
                            continue
                        taken.add((verb.key, key, ascii(hidden)))
    assert not taken
    assert tried > 5


def test_operations_ask_whether_a_text_can_be_seen() -> None:
    """`not text.strip()` takes a text of hidden characters for one that says something."""
    folders = ("audit/operation.py", "environments/operations", "releases/operations")
    files = [
        file for place in folders for file in ([Path(place)] if place.endswith(".py") else Path(place).rglob("*.py"))
    ]
    assert not [str(file) for file in files if re.search(r"not [a-z_.]+\.strip\(\)", file.read_text())]
