"""Known ways round access control, tokens and admins elsewhere, one test a case.

The numbers are those of the published cases that the design was written against (CVE-2026-102488 and others).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import IntegrityError, connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import translation

from audit.actor import acting
from audit.audited_tables import AUDITED_TABLES
from audit.clock import now
from audit.models import Event
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible, OperationRefused, SignatureRequired
from environments import access
from environments.actors import person
from environments.models import AccessGrant, Account, ChangeFreeze, Environment, Token
from environments.operations.access import grant
from environments.operations.account import edit as editing
from environments.operations.account.create import create
from environments.operations.account.deactivate import deactivate
from environments.operations.account.invite import enrol, invite
from environments.operations.freeze.lift import lift
from environments.operations.token.issue import issue_token
from environments.operations.window.create_freeze import freeze
from environments.roles import ENVIRONMENT_PERMISSIONS, LEVELS, PERMISSION_LABELS, ROLE_PERMISSIONS
from releases.admin.operations import VERBS
from releases.procedures.values import NAMED_PERMISSIONS
from tests.audit.stock import deletable
from tests.conftest import PASSWORD, enrolled
from tests.releases.api.conftest import ask, token_for
from tests.releases.api.test_idempotency import together
from tests.releases.gates.asking import COMMAND, alter, make
from tests.scenarios.test_matrix import whole

ActingAs = Callable[..., Any]
People = dict[str, Any]


def newcomer(name: str, *grants: tuple[str, Environment | None]) -> Account:
    """Make a person who holds roles, each in its environment."""
    with acting(COMMAND):
        made = enrolled(create(username=name, display_name=name, kind="person"))
        for role, environment in grants:
            where = environment.pk if environment is not None else None
            grant.request_role(made.pk, role=role, environment_id=where, reason="for the test")
    return made


def in_the_ledger(word: str) -> bool:
    """Tell whether the bytes of any event hold a word."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_event WHERE position(%s::bytea in bytes) > 0", [word.encode()])
        return bool(cursor.fetchone()[0])


def test_10_scoped_roles_are_not_merged(people: People) -> None:
    """Every two grants of a role in an environment give what each of them gives alone, and nothing more."""
    environments = {e.slug: e for e in Environment.objects.all()}
    pairs = [(role, slug) for role in ("operator", "developer", "committee") for slug in environments]
    cells = {(r.role_id, r.environment.slug): r.level for r in apps.get_model("environments.AccessRule").objects.all()}
    verbs = sorted(ENVIRONMENT_PERMISSIONS.union(*ROLE_PERMISSIONS.values()))
    for number, two in enumerate(combinations(pairs, 2)):
        if number % 4:
            continue
        account = newcomer(f"person-{number}", *((role, environments[slug]) for role, slug in two))
        for slug, environment in environments.items():
            held = {role for role, where in two if where == slug}
            expected = {
                verb
                for verb in verbs
                if any(
                    verb
                    in (
                        LEVELS[cells.get((role, slug), "none")]
                        if verb in ENVIRONMENT_PERMISSIONS
                        else ROLE_PERMISSIONS[role]
                    )
                    for role in held
                )
            }
            assert {verb for verb in verbs if access.may(account, verb, environment)} == expected, (two, slug)


def test_11_refused_means_unchanged(people: People, browsers: Callable[[str], Any]) -> None:
    """The answer is 403, and the rows are those of before."""
    client = browsers("outsider")
    before, events = whole(), Event.objects.filter(outcome="refused").count()
    tries = [(verb, None) for verb in VERBS if verb.model is None]
    tries += [(verb, people["operator"].pk) for verb in VERBS if verb.model is Account]
    tries += [(v, Environment.objects.get(slug="production").pk) for v in VERBS if v.model is Environment]
    for verb, pk in tries:
        assert client.post(verb.url(pk), {}).status_code == 403, verb.key
    assert whole() == before
    assert Event.objects.filter(outcome="refused").count() - events == len(tries) > 15


@pytest.mark.parametrize("role", ["Administrator", "ａdministrator", "administrator ", "administrat\u043er", ""])
def test_12_what_looks_like_a_role_is_none(people: People, acting_as: ActingAs, role: str) -> None:
    with acting_as("administrator"), pytest.raises(InvalidInput):
        grant.request_role(people["outsider"].pk, role=role, reason="x")


@pytest.mark.parametrize("name", ["MANAGER", "ｍanager", "man\u200bager", " manager"])
def test_12_what_looks_like_an_account_is_taken(people: People, acting_as: ActingAs, name: str) -> None:
    with acting_as("administrator"), pytest.raises((OperationRefused, IntegrityError)):
        create(username=name, display_name="x", kind="person")
    assert Account.objects.filter(username__icontains="anager").exclude(username="project_manager").count() == 1


def test_13_the_token_of_a_deactivated_account_opens_nothing(people: People, acting_as: ActingAs) -> None:
    production = Environment.objects.get(slug="production")
    with acting_as("administrator"):
        _token, secret = issue_token(people["ci"].pk, environments=(production.pk,))
    client = Client(headers={"authorization": f"Bearer {secret}"})
    assert client.get("/api/v1/releases").status_code == 200
    with acting_as("administrator"):
        deactivate(people["ci"].pk, reason="replaced")
    assert client.get("/api/v1/releases").status_code == 401
    assert not Token.objects.filter(account=people["ci"], revoked_at=None).exists()


def test_14_a_null_byte_does_not_restart_the_count(people: People, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "1000/m/ip", "login_failed": "1000/m/ip"}
    client = Client()
    for name in ("operator", "OPERATOR", "op\u200berator", "ｏperator", " operator"):
        client.post("/account/login/", {"login": name, "password": "wrong"})
    for name in ("operator", "operator\x00", "\x00operator"):
        client.post("/account/login/", {"login": name, "password": PASSWORD})
        assert client.get("/admin/").status_code == 302, "still locked"


def test_15_calendars_are_audited_like_the_rest(people: People, acting_as: ActingAs) -> None:
    """Without the permission a freeze is neither created nor lifted, and each change of one is in the ledger."""
    production = Environment.objects.get(slug="production")
    times = {"starts_at": now(), "ends_at": now() + timedelta(days=1)}
    with acting_as("manager"):
        row = freeze(production.pk, name="year's end", reason="closed", **times)
    for name in ("developer", "operator", "tester", "committee_a", "auditor", "outsider"):
        with acting_as(name), pytest.raises(NotPermitted):
            freeze(production.pk, name="x", reason="x", **times)
        with acting_as(name), pytest.raises(NotPermitted):
            lift(row.pk, reason="x")
    assert ChangeFreeze.objects.get(pk=row.pk).lifted_at is None
    assert {"environments.ChangeFreeze", "environments.ChangeWindow", "environments.Holiday"} <= {
        table.model for table in AUDITED_TABLES
    }
    assert Event.objects.filter(kind="row", object=f"environments.ChangeFreeze:{row.pk}").exists()


def test_17_no_address_is_forgotten(people: People) -> None:
    """Each one asks for a sign-in, a token or a secret, but for these."""
    public = {"invitation/<str:secret>/", "language/", "^admin/r/"}

    def addresses(resolver: Any, before: str = "") -> Any:
        for entry in resolver.url_patterns:
            if isinstance(entry, URLResolver):
                yield from addresses(entry, before + str(entry.pattern))
            elif isinstance(entry, URLPattern):
                yield before + str(entry.pattern), entry.callback

    open_ones = {
        address
        for address, view in addresses(get_resolver())
        if not getattr(view, "login_required", True) and not address.startswith(("api/", "account/", "^account"))
    }
    scim = {address for address in open_ones if address.startswith("scim/v2/")}
    open_ones -= scim
    for address in scim:
        assert Client().get("/" + re.sub(r"<[^>]+>", "1", address)).status_code == 401, address
    assert len(scim) > 5
    assert open_ones == {"", "admin/login/", "calendar/feed/<str:secret>.ics", *public}
    client = Client()
    for address in ("api/v1/releases", "api/v1/deployments", "api/v1/evidence"):
        assert client.get("/" + address).status_code in (401, 405), address
    assert client.get("/calendar/feed/guessed.ics").status_code == 404


def test_18_a_token_is_shown_once_and_found_nowhere(
    people: People, acting_as: ActingAs, browsers: Callable[[str], Any]
) -> None:
    with acting_as("administrator"):
        token, secret = issue_token(people["ci"].pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{secret[6:]}%"])
            assert cursor.fetchone()[0] == 0, table
    assert not in_the_ledger(secret)
    for name in ("administrator", "auditor"):
        html = browsers(name).get(reverse("admin:environments_token_changelist")).content.decode()
        assert secret not in html and token.digest not in html


def test_21_secrets_are_masked_and_a_forwarded_address_is_not_believed(
    people: People, acting_as: ActingAs, browsers: Callable[[str], Any]
) -> None:
    with acting_as("administrator"):
        secret = invite(people["outsider"].pk, reason="new here").secret.split("/")[-2]
        enrol(people["outsider"].pk, secret=secret, password="a-quite-long-first-one")
    people["outsider"].refresh_from_db()
    for word in ("a-quite-long-first-one", people["outsider"].password.split("$")[-1]):
        assert not in_the_ledger(word)
    browsers("outsider").post("/admin/operation/release/plan/", {}, headers={"x-forwarded-for": "203.0.113.9"})
    assert not in_the_ledger("203.0.113.9")


def test_22_an_operation_without_a_row_is_denied_as_well(people: People, browsers: Callable[[str], Any]) -> None:
    """And every page asks for a sign-in by default."""
    assert "django.contrib.auth.middleware.LoginRequiredMiddleware" in settings.MIDDLEWARE
    without = [verb for verb in VERBS if verb.model is None]
    assert len(without) > 5
    for verb in without:
        assert Client().post(verb.url(), {}).status_code in (302, 403), verb.key
        assert browsers("outsider").post(verb.url(), {}).status_code == 403, verb.key
        assert verb.rights, f"{verb.key} asks for no right"
    assert browsers("manager").post("/admin/operation/release/no_such_verb/1/").status_code == 404


@pytest.mark.parametrize(
    ("model", "hidden"),
    [
        ("account", "password"),
        ("account", "invitation"),
        ("token", "digest"),
        ("configurationversion", "encrypted"),
        ("accessgrant", "account__password"),
    ],
)
def test_23_a_hidden_column_is_not_guessed_through_a_list(
    people: People, browsers: Callable[[str], Any], model: str, hidden: str
) -> None:
    address = reverse(f"admin:environments_{model}_changelist")
    client = browsers("auditor")
    for lookup in ("startswith", "contains", "gt", "regex", "isnull"):
        assert client.get(address, {f"{hidden}__{lookup}": "p"}).status_code in (302, 400), lookup
    everything = client.get(address, {"q": "pbkdf2"}).content.decode()
    assert "committee_a" not in everything.lower()


def test_24_an_account_with_more_rights_is_not_taken_over(people: People, acting_as: ActingAs) -> None:
    """An account manager gets neither a committee member's approval nor a second name without another administrator."""
    with acting_as("administrator"):
        secret = invite(people["committee_a"].pk, reason="forgotten").secret.split("/")[-2]
        enrol(people["committee_a"].pk, secret=secret, password="a-quite-long-first-one")
        with pytest.raises(NotPermitted):
            grant.confirm(AccessGrant.objects.get(account=people["committee_a"]).pk)
        with pytest.raises(NotPermitted):
            editing.edit(people["administrator"].pk, display_name="A", employee_id="E-1", reason="me")
    assert not access.may(people["committee_a"], "approve")
    for name in ("manager", "operator", "committee_b"):
        with acting_as(name), pytest.raises(NotPermitted):
            invite(people["administrator"].pk, reason="x")
    waiting = make(
        AccessGrant,
        account=people["outsider"],
        role_id="committee",
        starts_at=now(),
        reason="x",
        granted_by=people["administrator"],
    )
    with acting_as("administrator"), pytest.raises(NotPermitted):
        grant.confirm(waiting.pk)
    assert not access.may(people["outsider"], "approve")


def test_two_administrators_are_not_made_one_to_grant_alone(people: People, acting_as: ActingAs) -> None:
    """What was counted once stays counted, whatever the employee ids say afterwards."""
    for name in ("administrator", "second_administrator"):
        with acting(COMMAND), operation("test:merge", (Account, people[name].pk)) as op:
            op.get(Account).employee_id = "E-1"
    with acting_as("administrator"):
        waiting = grant.request_role(people["outsider"].pk, role="administrator", reason="a third one")
    assert waiting.confirmed_at is None and not access.may(people["outsider"], "manage_access")


def test_giving_another_account_the_own_employee_id_is_refused(people: People, acting_as: ActingAs) -> None:
    """Nor takes it away from an account of their own: either would change for whom they count."""
    people["night"] = newcomer("night", ("operator", None))
    with acting_as("second_administrator"):
        for name in ("administrator", "night"):
            asked = editing.edit(people[name].pk, display_name=name, employee_id="E-1", reason="as the list says")
            alter(asked.account, employee_id="E-1")
    with acting_as("administrator"):
        for name, number in (
            ("second_administrator", "Ｅ-１ "),
            ("committee_a", "e-1"),
            ("night", "E-2"),
            ("night", ""),
        ):
            with pytest.raises(NotPermitted):
                editing.edit(people[name].pk, display_name=name, employee_id=number, reason="me")
    held = dict(Account.objects.exclude(employee_id="").values_list("username", "employee_id"))
    assert held == {"administrator": "E-1", "night": "E-1"}


def test_an_employee_id_is_given_as_a_role_is(people: People, acting_as: ActingAs) -> None:
    """It decides who counts: by somebody who may grant, with a second factor where one is demanded."""
    with acting(COMMAND), operation("test:demand", (Environment, Environment.objects.get(slug="production").pk)) as op:
        op.get(Environment).requires_two_factor = True
    with acting_as("administrator"):
        editing.edit(people["tester"].pk, display_name="Tester", reason="the name alone")
        with pytest.raises(access.SecondFactorRequired):
            editing.edit(people["tester"].pk, display_name="Tester", employee_id="E-3", reason="new")


def test_two_seconds_at_once_are_not_both_given_alone(people: People) -> None:
    """The first administrator gives two at the same moment; one of them waits."""
    deleting = deletable("environments_accessgrant", f"dbname={connection.settings_dict['NAME']}")
    with deleting, acting(COMMAND), operation("test:rewind"):
        AccessGrant.objects.filter(account=people["second_administrator"]).delete()
    pair = [people["outsider"].pk, people["tester"].pk]
    first = replace(person(people["administrator"]), authenticated_at=now(), method="password")

    def give(place: int) -> AccessGrant:
        with acting(first):
            return grant.request_role(pair[place], role="administrator", reason="at once")

    given = together(2, give)
    assert [row.confirmed_at is None for row in given].count(True) == 1, given


def test_a_full_freeze_of_another_is_not_lifted_alone(people: People, acting_as: ActingAs) -> None:
    """Two people lift it; one person alone lifts their own freeze, and one that an emergency passes."""
    production = Environment.objects.get(slug="production")
    times = {"starts_at": now(), "ends_at": now() + timedelta(days=1), "name": "audit", "reason": "closing"}
    with acting_as("manager"):
        own, other, passed = (freeze(production.pk, absolute=absolute, **times) for absolute in (True, True, False))
        assert lift(own.pk, reason="my own").lifted_at is not None
    with acting_as("project_manager"):
        assert lift(passed.pk, reason="not absolute").lifted_at is not None
        assert lift(other.pk, reason="a hurry").lifted_at is None
        with pytest.raises(
            NotPossible, match="You have already requested this lift. Another person must lift the freeze"
        ):
            lift(other.pk, reason="a hurry")
    assert ChangeFreeze.objects.in_effect().get() == other
    with acting_as("author_on_committee"):
        assert lift(other.pk, reason="I have looked at it").lifted_at is not None
    nobodys = make(ChangeFreeze, environment=production, full=True, **times)
    with acting_as("manager"):
        assert lift(nobodys.pk, reason="x").lifted_at is None


def test_an_account_is_made_with_a_fresh_proof(people: People, acting_as: ActingAs) -> None:
    """A forgotten session creates no account, as it changes none."""
    given = {"username": "new", "display_name": "New", "kind": "person"}
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        create(**given)
    with acting_as("administrator"):
        made = create(**given)
    event = Event.objects.get(operation="account:create", kind="operation", object=f"environments.Account:{made.pk}")
    assert b'"signature"' in bytes(event.bytes)


def test_a_key_of_one_token_repeats_no_answer_of_another(world: Any, settings: Any) -> None:
    """Also of one account: the other token may not even reach what was answered."""
    settings.API_RATE_LIMIT = "1000/s"
    world.planned()
    world.evidence("1.3.0")
    wide, narrow = (token_for(world, world.people["ci"], *reach) for reach in ((), ("staging",)))
    body = {"application": "datasets", "version": "1.3.0", "environment": "development"}
    first, other, again = (
        ask("post", "/ci/deployments", body, token=token, **{"Idempotency-Key": "k"}) for token in (wide, narrow, wide)
    )
    assert (first.status_code, other.status_code) == (200, 403), other.content
    assert again["Idempotency-Replayed"] == "true" and again.content == first.content


def test_a_refusal_discloses_no_internal_key(people: People, acting_as: ActingAs) -> None:
    """The missing right is named as the matrix names it, in the reader's language."""
    production = Environment.objects.get(slug="production")
    named = NAMED_PERMISSIONS.values()
    assert set(PERMISSION_LABELS) == ENVIRONMENT_PERMISSIONS.union(*ROLE_PERMISSIONS.values(), *named)
    for language, said in (("en", "permission “Plan a release” in "), ("ja", "での「リリースの計画」の権限")):
        with acting_as("outsider"), translation.override(language):
            with pytest.raises(NotPermitted, match=said):
                access.require("plan", production)
            for verb in PERMISSION_LABELS:
                with pytest.raises(NotPermitted) as refusal:
                    access.require(verb)
                assert f"“{verb}”" not in str(refusal.value) and f"「{verb}」" not in str(refusal.value)
