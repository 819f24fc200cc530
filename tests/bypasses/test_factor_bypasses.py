"""Ways round a second factor that an environment requires, one test a case."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import connection
from django.forms import ValidationError

from audit import signatures
from audit.actor import acting, current
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.resumption import write_refusal
from audit.models import Event
from audit.operation import operation
from audit.refusals import NotPossible, OperationRefused, SignatureRequired
from environments.access import SecondFactorRequired
from environments.admin.rights import read_rights
from environments.models import Application, CalendarFeed, Environment
from environments.operations.account import deactivate as closing
from environments.operations.calendar_feed import create as feeds
from environments.signing import environments_of
from releases.admin.operations import VERBS
from releases.admin.operations.base import Verb
from releases.models import Deployment
from releases.operations.deployment import decide
from releases.operations.team.assign import assign
from tests.environments.test_actors import seen_by
from tests.releases.conftest import World
from tests.releases.gates.asking import COMMAND, make
from tests.scenarios.cells import Rows
from tests.scenarios.test_matrix import PERSONS, rolled_back, value

SIGNING = [verb for verb in VERBS if verb.signs]
# Signatures about no environment: a new operation is added here with a reason, or requires the factor by itself.
ELSEWHERE = {
    "account:edit": "an account; an employee id asks for the factor by itself",
    "account:hand_over": "whose account the identity provider keeps; the roles of its groups are decided by two",
    "account:invite": "an account",
    "account:deactivate": "an account",
    "account:create": "an account",
    "account:reactivate": "an account",
    "access:revoke": "takes away: nobody who has lost his device leaves a right in force for it",
    "access_review:revoke": "takes away",
    "token:revoke": "takes away",
    "access_review:open": "a list of grants, each decided by itself",
    "access_review:close": "a list of grants",
    "application:create": "it has no target yet",
    "holiday:add": "the company's days",
    "holiday:remove": "the company's days",
    "notification:approve_external": "what people are told, and how",
    "notification:cancel": "what people are told, and how",
    "recipient:add_without_account": "what people are told, and how",
    "recipient_group:disable": "what people are told, and how",
    "notification_channel:create": "what people are told, and how",
    "notification_channel:set_address": "what people are told, and how",
    "notification_rule:add": "what people are told, and how",
    "notification_rule:remove": "what people are told, and how",
    "notification_template:edit": "what people are told, and how",
    "notification_template:restore": "what people are told, and how",
    "erasure:request": "refused for an account in use; tests/releases/operations/test_erasure.py asks",
    "erasure:confirm": "refused where none waits; tests/releases/operations/test_erasure.py asks",
    "erasure:request_recipient": "refused in a group; tests/releases/operations/test_recipient_erasure.py asks",
    "erasure:confirm_recipient": "refused where none waits; tests/releases/operations/test_recipient_erasure.py asks",
    "year:request_closing": "refused for a year that is not over; tests/releases/operations/test_closed_years.py asks",
    "meeting:record": "minutes; what was decided is entered for each release",
}


def demand(*slugs: str) -> None:
    """Let environments ask for a second factor with each signature."""
    for environment in Environment.objects.filter(slug__in=slugs):
        with acting(COMMAND), operation("test:demand", (Environment, environment.pk)) as op:
            op.get(Environment).requires_two_factor = True


def arguments(rows: Rows, verb: Verb, row: Any) -> dict[str, Any]:
    """Return the values of the operation's form."""
    given = {key: value(field, row) for key, field in verb.form_fields(row).items()}
    match verb.key:
        case "delegation:request":
            given["delegate_id"] = rows.world.people["tester"].pk
        case "team:assign":
            lead = rows.world.people["second_operator"].pk
            given |= {"release_lead_account_id": lead, "release_lead_telephone": "03-9876-5432"}
        case "target:create":
            another = make(Application, slug="another", name="Another", repository="x")
            given |= {"root": "/srv/another", "application_id": another.pk}
        case "token:issue":
            given |= {"environments": Environment.objects.all(), "issuer": "", "subject": ""}
        case "checkpoint:add_address":
            given |= {"kind": "post", "address": "http://127.0.0.1:2"}
        case "ledger:request_resumption":
            write_refusal(
                LedgerSigner(Path(settings.STATE_DIR) / "another-signer"), connection, "it is another one's ledger"
            )
    return given


def asked(rows: Rows, verb: Verb, row: Any, method: str, reached: list[str]) -> bool:
    """Tell whether an operation requires the factor of a permitted person who has proved their identity by `method`."""
    name = next((name for name in PERSONS if verb.for_you(read_rights(rows.world.people[name]), row)), "manager")
    with rolled_back(), rows.world.acting_as(name), acting(replace(current(), method=method)):
        reached.clear()
        try:
            verb.operation(*([] if row is None else [row.pk]), **arguments(rows, verb, row))
        except SecondFactorRequired:
            return True
        except OperationRefused:
            # An operation refused before it opens, or without a signature here, is still about the row's environments.
            return not reached and row is not None and method == "password" and bool(environments_of([row]))
    return False


def test_no_signature_about_an_environment_forgets_the_factor(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation of the admin that signs, on a row of its model: a password alone is not enough."""
    reached: list[str] = []
    checks = [lambda event, about: reached.append(event), *signatures._signature_checks]
    monkeypatch.setattr(signatures, "_signature_checks", checks)
    demand("development", "staging", "production")
    forgotten, people = set(), rows.world.people
    fitting = {"token:issue": [people["ci"]], "access:grant": [people["developer"]]}
    for verb in SIGNING:
        found = [None] if verb.model is None else rows.of(verb.model)
        for row in fitting.get(verb.key, found):
            if not asked(rows, verb, row, "password", reached):
                forgotten.add(verb.key)
            assert not asked(rows, verb, row, "password+totp", reached), verb.key
    assert forgotten == set(ELSEWHERE), forgotten ^ set(ELSEWHERE)


def test_every_operation_that_signs_is_declared_so(rows: Rows) -> None:
    """Without a fresh proof, exactly the operations declared as signatures ask for one, so that none is left out
    above.
    """
    signatures = set()
    for verb in VERBS:
        for row in [None] if verb.model is None else rows.of(verb.model):
            name = next(
                (name for name in PERSONS if verb.for_you(read_rights(rows.world.people[name]), row)), "manager"
            )
            with rolled_back(), rows.world.acting_as(name, proved=False):
                try:
                    verb.operation(*([] if row is None else [row.pk]), **arguments(rows, verb, row))
                except SignatureRequired:
                    signatures.add(verb.key)
                except (OperationRefused, ValidationError):
                    continue
    # Refused before the operation with these rows.
    early = {"deployed_version:register", "deployed_version:place", "rollback:retry", "deployment:schedule"}
    assert signatures | early == {verb.key for verb in SIGNING}


def test_a_demand_reaches_what_is_bound_for_the_environment_and_no_further(rows: Rows) -> None:
    """The requirement of production holds up the release itself, which goes there, but no deployment to development."""
    demand("production")
    deployments = {deployment.environment.slug: deployment for deployment in rows.of(Deployment)}
    with rows.world.acting_as("operator"):
        for slug, refusal in (("development", NotPossible), ("production", SecondFactorRequired)):
            with pytest.raises(refusal):
                decide.fail(deployments[slug].pk, reason="x")
    with rows.world.acting_as("manager"), pytest.raises(SecondFactorRequired):
        assign(
            deployments["development"].release_id,
            team_role="implementer",
            account_id=rows.world.people["operator"].pk,
            telephone="1",
        )


def test_an_old_code_is_not_renewed_by_a_fresh_password(rows: Rows) -> None:
    """Each proof has its own age, counted from now and not from the last one."""
    demand("production")
    held = settings.REAUTHENTICATION_TIMEOUT
    code, deployment = {"method": "mfa", "type": "totp"}, rows.of(Deployment)[-1]
    for ages, method in (
        ((held + 100, held - 100), "password"),
        ((held - 100, 10), "totp+password"),
        ((9999, 9000), ""),
    ):
        kinds = (code, {"method": "password"})
        proofs = [
            kind | {"at": time.time() - age, "reauthenticated": True} for kind, age in zip(kinds, ages, strict=True)
        ]
        actor = seen_by(rows.world.people["operator"], {"account_authentication_methods": proofs})
        assert actor is not None and actor.method == method, ages
        with acting(actor), pytest.raises(NotPossible if "totp" in method else SignatureRequired):
            decide.fail(deployment.pk, reason="x")


def device(account: Any) -> Any:
    """Give an account an authenticator app."""
    return make(Authenticator, user=account, type="totp", data={"secret": "encrypted"})


def test_a_deactivated_account_leaves_no_address_and_no_device(world: World, browsers: Any) -> None:
    """A reactivated account has nothing of what it had."""
    manager = world.people["manager"]
    assert Authenticator.objects.filter(user=manager).exists()
    client = browsers("manager")
    with world.acting_as("manager"):
        feed, _secret = feeds.create(world.application.pk)
    with world.acting_as("administrator"):
        closing.deactivate(manager.pk, reason="left")
        closing.reactivate(manager.pk, reason="came back")
    assert client.get("/admin/").status_code == 302
    assert CalendarFeed.objects.get(pk=feed.pk).revoked_at is not None
    assert not Authenticator.objects.filter(user=manager).exists()
    event = Event.objects.filter(operation="account:deactivate", kind="operation").get()
    assert b'"feeds": 1' in bytes(event.bytes).replace(b'":1', b'": 1')
