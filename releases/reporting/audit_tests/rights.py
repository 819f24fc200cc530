"""Audit tests of rights: who held which right, who held too many, and who has not used one."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import connection
from django.utils.translation import gettext_lazy as _

from environments.access_as_of import Held, Person, allows, once_protected
from environments.language import listed
from environments.models import Account, Application, Environment
from environments.models.role import role_names
from environments.persons import same_person
from environments.roles import LEVEL_CHOICES
from releases.reporting.audit_tests.base import Outcome, SavedTest, Scope


def holders(scope: Scope) -> Outcome:
    """List each role held at the end of the period, with its level in each environment."""
    outcome, roles, levels = Outcome(), role_names(), dict(LEVEL_CHOICES)
    cells, people = scope.then.levels(scope.until), scope.then.people(scope.until)
    environments = list(Environment.objects.all())
    accounts = {account.pk: account for account in Account.objects.all()}
    names = {application.pk: application for application in Application.objects.all()}
    outcome.examined = sum(person.active for person in people.values())
    held = scope.then.with_delegates(scope.until)
    for one in sorted(held, key=lambda h: (people[h.account].name, h.role, h.environment or 0)):
        where = [e for e in environments if one.environment in (None, e.pk)]
        reach = "; ".join(f"{e}: {levels[cells.get((one.role, e.pk), 'none')]}" for e in where)
        absent = people.get(one.delegate_for) if one.delegate_for is not None else None
        limited = (str(names.get(pk, pk)) for pk in sorted(one.applications)) if one.applications is not None else ()
        outcome.found(
            accounts.get(one.account),
            people[one.account].name,
            str(roles.get(one.role, one.role)),
            reach,
            listed(limited) if one.applications is not None else _("all"),
            one.grant.values["starts_at"],
            one.grant.values["until"],
            one.grant.values["reason"],
            absent.name if absent is not None else "",
        )
    return outcome


ROLE_HOLDERS = SavedTest(
    key="role-holders",
    title=_("Holders of each permission on a date"),
    question=_("Who held which role, where, since when and why?"),
    columns=(
        _("person"),
        _("role"),
        _("level"),
        _("applications"),
        _("from"),
        _("until"),
        _("reason"),
        _("delegate for"),
    ),
    run=holders,
    listing=True,
    moment=True,
)


def approve_and_start(scope: Scope) -> Outcome:
    """Check everybody's roles at the end of the period; a delegate has those of the absent person too."""
    outcome = Outcome()
    levels, people = scope.then.levels(scope.until), scope.then.people(scope.until)
    accounts = {account.pk: account for account in Account.objects.all()}
    held, same = defaultdict[str, list[Held]](list), same_person()
    for one in sorted(scope.then.with_delegates(scope.until), key=lambda h: (h.account, h.role, h.delegate_for or 0)):
        held[same(people[one.account].person_key)].append(one)
    protected = list(Environment.objects.filter(pk__in=once_protected()))
    outcome.examined = len(held) * len(protected)
    for environment in protected:
        for theirs in held.values():
            approve = [h for h in theirs if allows(h, "approve", environment.pk, levels)]
            own = [h for h in theirs if h.delegate_for is None]
            start = [h for h in own if any(allows(h, r, environment.pk, levels) for r in ("schedule", "start"))]
            approve = [h for h in approve if any(map(h.meets, start))]
            start = [h for h in start if any(map(h.meets, approve))]
            if approve and start:
                first = theirs[0].account
                roles = listed(dict.fromkeys(_words(h, people) for h in (*approve, *start)))
                outcome.found(accounts.get(first), people[first].name, str(environment), roles)
    return outcome


def _words(held: Held, people: dict[int, Person]) -> str:
    role = role_names().get(held.role, held.role)
    if held.delegate_for is None:
        return role
    return _("%(role)s, for %(absent)s") % {"role": role, "absent": people[held.delegate_for].name}


APPROVE_AND_START = SavedTest(
    key="approve-and-start",
    title=_("People who may both approve and start"),
    question=_("Who has both permissions for the same protected environment?"),
    columns=(_("person"), _("environment"), _("roles")),
    run=approve_and_start,
    moment=True,
)


DAYS = 90


def last_activity(account: int, until: datetime) -> datetime | None:
    """Return when an account last did anything that the ledger records, including a sign-in."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(at) FROM audit_event WHERE actor >= %s AND actor < %s AND at < %s",
            [f"person:{account}:", f"person:{account};", until],
        )
        acted: datetime | None = cursor.fetchone()[0]
        # A sign-in is recorded before there is an actor: its object names the account.
        cursor.execute(
            "SELECT max(at) FROM audit_event WHERE object = %s AND operation = 'session:sign_in' AND outcome = 'done'"
            " AND at < %s",
            [f"environments.Account:{account}", until],
        )
        signed_in: datetime | None = cursor.fetchone()[0]
    return max((moment for moment in (acted, signed_in) if moment is not None), default=None)


def dormant_approvers(scope: Scope) -> Outcome:
    """Check each holder of an approving role at the period's end; a right younger than DAYS is not yet dormant."""
    outcome, names = Outcome(), role_names()
    asleep = scope.until - timedelta(days=DAYS)
    accounts = {account.pk: account for account in Account.objects.all()}
    for held in scope.then.held(scope.until):
        if "approve" not in held.permissions:
            continue
        outcome.examined += 1
        last = last_activity(held.account, scope.until)
        since = held.grant.values["starts_at"]
        given = datetime.fromisoformat(since) if since else held.grant.at
        if given < asleep and (last is None or last < asleep):
            account = accounts.get(held.account)
            outcome.found(account, str(account), names.get(held.role, held.role), given, last)
    outcome.notes.append((_("No activity since"), asleep))
    return outcome


DORMANT_APPROVERS = SavedTest(
    key="dormant-approvers",
    title=_("Dormant approvers"),
    question=_("Who may approve and has had no activity for 90 days?"),
    columns=(_("person"), _("role"), _("permission since"), _("last activity")),
    run=dormant_approvers,
    moment=True,
)


def superusers(scope: Scope) -> Outcome:
    """Check each account as it is, and each state that it had in the ledger."""
    outcome = Outcome()
    accounts = {str(account.pk): account for account in Account.objects.all()}
    lives = scope.then.accounts
    outcome.examined = len(accounts.keys() | lives.keys())
    for pk in sorted(accounts.keys() | lives.keys(), key=int):
        account = accounts.get(pk)
        if account is not None and account.is_superuser:
            outcome.found(account, str(account), None, _("The account is a superuser now."))
        states = lives[pk].states if pk in lives else []
        for place, state in enumerate(states):
            ended = states[place + 1].at if place + 1 < len(states) else None
            in_period = state.at < scope.until and (ended is None or ended > scope.since)
            if in_period and state.values.get("is_superuser") is True:
                outcome.found(account, str(account or pk), state.at, _("The account was a superuser from then on."))
    return outcome


SUPERUSERS = SavedTest(
    key="superusers",
    title=_("No superuser exists"),
    question=_("Was any account ever exempt from the rules?"),
    columns=(_("account"), _("since"), _("finding")),
    run=superusers,
)
