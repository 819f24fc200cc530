"""Dormant approvers: who may approve and has done nothing for ninety days."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from environments.models import Account
from environments.roles import ROLE_CHOICES, ROLE_VERBS
from releases.audit_tests.base import Outcome, SavedTest, Scope

DAYS = 90


def last_act(account: int, until: datetime) -> datetime | None:
    """Return when an account last did anything that the ledger knows, a sign-in too."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(at) FROM audit_event WHERE actor >= %s AND actor < %s AND at < %s",
            [f"person:{account}:", f"person:{account};", until],
        )
        acted: datetime | None = cursor.fetchone()[0]
        # A sign-in is written before there is an actor: its object names the account.
        cursor.execute(
            "SELECT max(at) FROM audit_event WHERE object = %s AND action = 'session:sign_in' AND outcome = 'done'"
            " AND at < %s",
            [f"environments.Account:{account}", until],
        )
        signed_in: datetime | None = cursor.fetchone()[0]
    return max((moment for moment in (acted, signed_in) if moment is not None), default=None)


def run(scope: Scope) -> Outcome:
    """Look at each holder of an approving role at the end of the period; a right younger than that sleeps not yet."""
    outcome, names = Outcome(), dict(ROLE_CHOICES)
    asleep = scope.until - timedelta(days=DAYS)
    accounts = {account.pk: account for account in Account.objects.all()}
    for held in scope.then.held(scope.until):
        if "approve" not in ROLE_VERBS.get(held.role, frozenset()):
            continue
        outcome.examined += 1
        last = last_act(held.account, scope.until)
        since = held.grant.values["begins_at"]
        given = datetime.fromisoformat(since) if since else held.grant.at
        if given < asleep and (last is None or last < asleep):
            account = accounts.get(held.account)
            outcome.found(account, str(account), str(names[held.role]), given, last)
    outcome.notes.append((_("Nothing done since"), asleep))
    return outcome


TEST = SavedTest(
    key="dormant-approvers",
    title=gettext_lazy("Dormant approvers"),
    question=gettext_lazy("Who may approve and has not been here for 90 days?"),
    columns=(gettext_lazy("person"), gettext_lazy("role"), gettext_lazy("right since"), gettext_lazy("last act")),
    run=run,
    moment=True,
)
