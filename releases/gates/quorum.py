"""Who has consented, who is missing, who could still give it: stages in order, persons matched to rules.

People are matched by maximum matching, so that a person with two roles never blocks a rule that another could have met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from environments import access
from environments.models import Account, ConfigurationVersion, Environment
from releases.gates.base import procedure_of
from releases.models import Approval, ConsentRound, Deployment, Fact, Release, Waiver


@dataclass(frozen=True)
class Rule:
    """At a stage, `number` persons of a role."""

    stage: int
    role: str
    number: int


@dataclass(frozen=True)
class Standing:
    """Where a round stands: met, the stage that is open, and per rule of it how many are missing."""

    met: bool
    stage: int
    missing: tuple[tuple[str, int], ...]


def matched(rules: Sequence[Rule], persons: Sequence[tuple[str, frozenset[str]]]) -> list[str | None]:
    """Match persons (key, roles) to the slots of rules, one slot each; return per slot the person or None.

    The number of filled slots is the greatest possible (augmenting paths).
    """
    slots = [rule.role for rule in rules for _ in range(rule.number)]
    roles = dict(persons)
    taken: list[str | None] = [None] * len(slots)

    def place(person: str, seen: set[int]) -> bool:
        for index, role in enumerate(slots):
            if role not in roles[person] or index in seen:
                continue
            seen.add(index)
            holder = taken[index]
            if holder is None or place(holder, seen):
                taken[index] = person
                return True
        return False

    for person in roles:
        place(person, set())
    return taken


def standing(rules: Sequence[Rule], persons: Sequence[tuple[str, frozenset[str]]]) -> Standing:
    """Say where a round with these approvals stands; no rule at all is never met."""
    if not rules:
        return Standing(False, 0, ())
    for stage in sorted({rule.stage for rule in rules}):
        upto = [rule for rule in rules if rule.stage <= stage]
        filled = matched(upto, persons)
        if None in filled:
            missing: list[tuple[str, int]] = []
            index = 0
            for rule in upto:
                empty = sum(1 for _ in range(rule.number) if filled[(index := index + 1) - 1] is None)
                if empty:
                    missing.append((rule.role, empty))
            return Standing(False, stage, tuple(missing))
    return Standing(True, max(rule.stage for rule in rules), ())


def rules_of(round_: ConsentRound) -> list[Rule]:
    """Return the rules frozen on a round; a row that asks nobody stands for none."""
    return [Rule(r["stage"], r["role"], r["number"]) for r in round_.rules if r["role"] != "none"]


def persons_of(round_: ConsentRound) -> list[tuple[str, frozenset[str]]]:
    """Return who has approved a round on its own digest, as persons with the roles they held then."""
    rows = Approval.objects.filter(round=round_, meaning__in=Approval.COUNTING, digest=round_.digest).select_related(
        "account"
    )
    return [(row.account.person_key, frozenset(row.roles)) for row in rows]


def said(round_: ConsentRound) -> set[str]:
    """Return the persons who have given their word in a round, and those for whom a deputy has."""
    rows = Approval.objects.filter(round=round_).select_related("account", "on_behalf")
    return {a.person_key for row in rows for a in (row.account, row.on_behalf) if a is not None}


def kept_out(round_: ConsentRound) -> dict[str, str]:
    """Return person key → the duty that keeps him from giving his word in a round."""
    if round_.release is not None:
        return excluded(round_.release)
    return {round_.applicant.person_key: "applicant"}


def excluded(release: Release) -> dict[str, str]:
    """Return person key → the duty that keeps him from approving (author, editor, waiver, commit author, starter)."""
    kept_out: dict[str, str] = {release.author.person_key: "author"}
    for account in release.editors.all():
        kept_out.setdefault(account.person_key, "editor")
    for address in commit_authors(release):
        for account in Account.objects.filter(git_addresses__contains=[address.lower()]):
            kept_out.setdefault(account.person_key, "commit author")
    for version in ConfigurationVersion.objects.filter(pk__in=list(release.configurations.values())):
        kept_out.setdefault(version.created_by.person_key, "editor")
    for round_ in ConsentRound.objects.filter(release=release, state__in=["open", "granted"]):
        kept_out.setdefault(round_.applicant.person_key, "applicant")
    for waiver in Waiver.objects.filter(release=release, approved_at__isnull=False).select_related(
        "proposed_by", "decided_by"
    ):
        for account in (waiver.proposed_by, waiver.decided_by):
            if account is not None:
                kept_out.setdefault(account.person_key, "waiver")
    for deployment in Deployment.objects.filter(release=release, environment__protected=True):
        if deployment.started_by is not None:
            kept_out.setdefault(deployment.started_by.person_key, "starter")
    return kept_out


def commit_authors(release: Release) -> list[str]:
    """Return the addresses of the release's commits as last observed."""
    value = Fact.objects.filter(release=release, kind="authors").values_list("value", flat=True).first()
    return value if isinstance(value, list) else []


def unknown_authors(release: Release) -> list[str]:
    """Return the addresses that belong to no account; with one of them nobody can say who may approve."""
    return [
        a for a in commit_authors(release) if not Account.objects.filter(git_addresses__contains=[a.lower()]).exists()
    ]


def candidates(round_: ConsentRound) -> list[Account]:
    """Return who could still give what is missing at the open stage."""
    where = standing(rules_of(round_), persons_of(round_))
    out = kept_out(round_).keys() | said(round_)
    found: dict[int, Account] = {}
    for role, _count in where.missing:
        for account in access.holders(role, round_.environment):
            if account.person_key not in out:
                found[account.pk] = account
    return list(found.values())


def lacking(release: Release, environment: Environment) -> list[tuple[str, int]]:
    """Return (role, number of persons) that the rules for a release ask for and that nobody there could give.

    Asked long before anyone applies: with it a release manager sees at T-14 that no two of the committee are left.
    """
    subject = "emergency" if release.kind == Release.Kind.EMERGENCY else "regular"
    asked = procedure_of(release).approvals_for(subject, environment.tier)
    rules = [Rule(r.stage, r.role, r.number) for r in asked if r.role != "none"]
    out = excluded(release)
    roles: dict[str, set[str]] = {}
    for role in {rule.role for rule in rules}:
        for account in access.holders(role, environment):
            if account.person_key not in out:
                roles.setdefault(account.person_key, set()).add(role)
    slots = [rule.role for rule in rules for _ in range(rule.number)]
    filled = matched(rules, [(person, frozenset(held)) for person, held in roles.items()])
    empty = [role for role, person in zip(slots, filled, strict=True) if person is None]
    return sorted(Counter(empty).items())
