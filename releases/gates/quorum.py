"""The quorum of an approval request: who has approved, who is missing, who still could; persons matched to rules.

People are matched by maximum matching, so that a person with two roles never blocks a rule that another could have met.
An operation reads it from the database each time: no state of a request and no row of a caller is believed. A page
counts what it has read.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch, prefetch_related_objects

from audit.one_look import looking
from environments import access
from environments.application_scope import application_of
from environments.language import listed, noted
from environments.models import Account, Environment
from environments.models.role import role_names
from environments.targets.words import gettext as _
from releases.gates import authorship
from releases.gates.base import procedure_of
from releases.gates.standard_change import beyond_limits, subject_of
from releases.models import ApprovalDecision, ApprovalRequest, Release
from releases.procedures.document import Procedure as Content

# The attribute by which a request that a page shows keeps its count.
SHOWN = "_shown_count"
type Persons = Sequence[tuple[str, frozenset[str]]]


@dataclass(frozen=True)
class Rule:
    """A rule of a stage: `number` persons of a role."""

    stage: int
    role: str
    number: int


@dataclass(frozen=True)
class Standing:
    """The standing of a request: met, the open stage, and per rule of it how many are missing.

    wanted: the roles by which one more person would increase the filled places, after any rearrangement.
    """

    met: bool
    stage: int
    missing: dict[str, int]
    wanted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Count:
    """The present count of a request's approvals in the database.

    persons: who counts, with the roles that count; spoken: persons with an approval, whether it counts or not;
    kept_out: person → duty; lost: why an approval of this content does not count, a sentence each.
    """

    standing: Standing
    persons: Persons
    spoken: frozenset[str]
    kept_out: dict[str, str]
    lost: tuple[str, ...]


def matched(rules: Sequence[Rule], persons: Persons) -> list[str | None]:
    """Match persons (key, roles) to the slots of rules, one slot each; return per slot the person or None.

    The number of filled slots is the greatest possible (augmenting paths).
    """
    slots = _slots(rules)
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


def _slots(rules: Sequence[Rule]) -> list[str]:
    return [rule.role for rule in rules for _slot in range(rule.number)]


def empty(rules: Sequence[Rule], persons: Persons) -> Counter[str]:
    """Return role → how many places stay empty in any arrangement of the persons."""
    return Counter(r for r, person in zip(_slots(rules), matched(rules, persons), strict=True) if person is None)


def standing(rules: Sequence[Rule], persons: Persons) -> Standing:
    """Return the standing of a request with these approvals; without rules it is never met."""
    if not rules:
        return Standing(False, 0, {})
    for stage in sorted({rule.stage for rule in rules}):
        upto = [rule for rule in rules if rule.stage <= stage]
        if missing := empty(upto, persons):
            more = {r: empty(upto, [*persons, ("", frozenset({r}))]) for r in {rule.role for rule in upto}}
            wanted = frozenset(role for role, left in more.items() if left.total() < missing.total())
            return Standing(False, stage, dict(missing), wanted)
    return Standing(True, max(rule.stage for rule in rules), {})


def words_for(missing: Iterable[str] | Mapping[str, int]) -> str:
    """Return roles as people read them, with how many persons of each are missing where that is said."""
    names = role_names()
    counts = missing if isinstance(missing, Mapping) else {}
    return listed(noted(names.get(r, r), counts[r]) if r in counts else str(names.get(r, r)) for r in missing)


def rules_of(approval_request: ApprovalRequest) -> list[Rule]:
    """Return the rules frozen on a request, without rows that require no person."""
    return [Rule(r["stage"], r["role"], r["number"]) for r in approval_request.rules if r["role"] != "none"]


def roles_for(approval_request: ApprovalRequest, where: Count, decision: str = "") -> set[str]:
    """Return the roles whose holders may decide so at the present stage: those that are asked now, and those that the
    procedure gives a veto. decision: approve, send_back or reject; left out: any of them.
    """
    allowing = [row for row in approval_request.rules if not decision or decision in row.get("decisions", (decision,))]
    asked = {row["role"] for row in allowing if row["stage"] <= where.standing.stage} & where.standing.wanted
    return asked | {row["role"] for row in allowing if not row["number"] and row["role"] != "none"}


def right_for(approval_request: ApprovalRequest) -> str:
    """Return the permission that a decision in a request needs."""
    if approval_request.subject == ApprovalRequest.Subject.PROCEDURE_RESTORE:
        return "restore_procedure"
    return "approve" if approval_request.release_id else "approve_change"


def count(approval_request: ApprovalRequest, at: datetime | None = None) -> Count:
    """Count a request's approvals as they count now, or by the grants that will be there at a time to come."""
    return counts([approval_request], at)[approval_request.pk]


def shown(approval_request: ApprovalRequest) -> Count:
    """Return the count for a page, read once for the row that it shows; no decision uses it."""
    if SHOWN not in approval_request.__dict__:
        approval_request.__dict__[SHOWN] = count(approval_request)
    found: Count = approval_request.__dict__[SHOWN]
    return found


def counts(
    approval_requests: Sequence[ApprovalRequest],
    at: datetime | None = None,
    kept_out: dict[int, dict[str, str]] | None = None,
) -> dict[int, Count]:
    """Return the count of many requests by their keys, in a number of queries that does not grow with them.

    kept_out: of each request, for a page that has just read it. An approval counts while its person is open, has no
    duty in what is approved, and holds the role both then and now.
    """
    decisions = _decisions(approval_requests)
    held = access.held(
        (decision.on_behalf_id or decision.account_id for theirs in decisions.values() for decision in theirs), at
    )
    out = authorship.kept_out_of(approval_requests) if kept_out is None else kept_out
    found = {}
    for approval_request in approval_requests:
        persons: dict[str, frozenset[str]] = {}
        lost = []
        counted = set[str]()
        application = application_of(approval_request)
        for decision in decisions[approval_request.pk]:
            if decision.decision not in ApprovalDecision.COUNTING or decision.digest != approval_request.digest:
                continue
            theirs = held[decision.on_behalf_id or decision.account_id]
            roles = frozenset(decision.roles) & access.counting_in(theirs, application, *approval_request.place_ids)
            people = deciders([decision])
            if why := _lost(decision, roles, out[approval_request.pk]):
                lost.append(why)
            elif not people & counted:
                persons[decision.account.person_key] = roles
                counted |= people
        where = standing(rules_of(approval_request), list(persons.items()))
        spoken = frozenset(deciders(decisions[approval_request.pk]))
        found[approval_request.pk] = Count(where, list(persons.items()), spoken, out[approval_request.pk], tuple(lost))
    return found


def _decisions(approval_requests: Sequence[ApprovalRequest]) -> Mapping[int, Sequence[ApprovalDecision]]:
    """Return the decisions of each request: on a page as it has read them, else as they are now."""
    if looking():
        people = ApprovalDecision.objects.select_related("account", "on_behalf")
        prefetch_related_objects(list(approval_requests), Prefetch("decisions", people))
        return {request.pk: list(request.decisions.all()) for request in approval_requests}
    found = defaultdict[int, list[ApprovalDecision]](list)
    rows = ApprovalDecision.objects.filter(approval_request__in=[request.pk for request in approval_requests])
    for decision in rows.select_related("account", "on_behalf"):
        found[decision.approval_request_id].append(decision)
    return found


def uncounted(approval_request: ApprovalRequest, at: datetime | None = None) -> str:
    """Return why the approvals of an approved request do not suffice for its release, now or at a time to come; empty
    when they do. The rules are those of the procedure that the release follows, whatever the request says.
    """
    release = approval_request.release
    assert release is not None
    if approval_request.rules != procedure_of(release).rules_for(
        approval_request.subject, *release.destinations, risk=release.risk
    ):
        return _(
            "The approval request asks for other approvals than the procedure. Submit the release for approval again."
        )
    if approval_request.subject == ApprovalRequest.Subject.STANDARD:
        beyond = beyond_limits(release, at)
        if beyond or not rules_of(approval_request):
            return " ".join(beyond)
    where = count(approval_request, at)
    if where.standing.met:
        return ""
    text = _("Too few approvals count. Missing: %(missing)s. Submit the release for approval again.")
    return " ".join([*where.lost, text % {"missing": words_for(where.standing.missing)}])


def _lost(decision: ApprovalDecision, roles: frozenset[str], kept_out: dict[str, str]) -> str:
    """Return why an approval does not count; empty when it does."""
    people = [person for person in (decision.account, decision.on_behalf) if person is not None]
    duty = next((kept_out[person.person_key] for person in people if person.person_key in kept_out), "")
    if not all(person.is_active and person.kind == Account.Kind.PERSON for person in people):
        why = _("the account is deactivated or does not belong to a person")
    elif duty:
        why = _("this person is %(duty)s") % {"duty": authorship.words(duty)}
    elif not roles:
        why = _("the role (%(roles)s) has ended or ends before then") % {"roles": words_for(decision.roles)}
    else:
        return ""
    return _("The approval of %(name)s does not count: %(why)s.") % {"name": str(decision.account), "why": why}


def deciders(decisions: Iterable[ApprovalDecision]) -> set[str]:
    """Return the persons who made these decisions, and those for whom they were made, by all their identities."""
    return {
        key
        for decision in decisions
        for person in (decision.account, decision.on_behalf)
        if person
        for key in person.identities
    }


def spoken_in(approval_requests: Sequence[ApprovalRequest]) -> set[str]:
    """Return the persons who have decided in these requests, as `deciders` does."""
    return deciders(decision for theirs in _decisions(approval_requests).values() for decision in theirs)


def deciders_of(releases: Iterable[int], states: Iterable[str] = ApprovalRequest.State.values) -> dict[int, set[str]]:
    """Return release id → the persons who have decided in its requests in these states, in one query."""
    decisions = defaultdict[int, list[ApprovalDecision]](list)
    rows = ApprovalDecision.objects.filter(
        approval_request__release__in=list(releases), approval_request__state__in=list(states)
    )
    for decision in rows.select_related("approval_request", "account", "on_behalf"):
        decisions[decision.approval_request.release_id or 0].append(decision)
    return defaultdict(set, {release: deciders(said) for release, said in decisions.items()})


def candidates(approval_request: ApprovalRequest, known: Count | None = None) -> list[Account]:
    """Return who could still give what is missing at the open stage, has the right to, and is not kept out."""
    where = known or count(approval_request)
    out = where.kept_out.keys() | where.spoken
    found: dict[int, Account] = {}
    right, application = right_for(approval_request), application_of(approval_request)
    for role in sorted(where.standing.wanted):
        for account in access.holders(role, approval_request.environment, right=right, application=application):
            if not account.is_among(out):
                found[account.pk] = account
    if len(approval_request.place_ids) > 1:
        held = access.held(found)
        return [
            account
            for pk, account in found.items()
            if where.standing.wanted & access.counting_in(held[pk], application, *approval_request.place_ids)
        ]
    return list(found.values())


def asked(approval_request: ApprovalRequest) -> list[Account]:
    """Return who could still give what is missing, and who may give it for one of them who is away now."""
    where = count(approval_request)
    could = candidates(approval_request, where)
    out = where.kept_out.keys() | where.spoken
    delegates = [one for one in access.delegates_for(could) if not one.is_among(out) and one not in could]
    return [*could, *delegates]


def lacking(release: Release, environment: Environment, content: Content | None = None) -> dict[str, int]:
    """Return role → number of persons that the rules for a release require and that no one there gives or could give,
    now or at T-0: a role that ends before it and an absence whose delegate is kept out count.

    It is read long before submission: a release manager sees at T-14 that no two of the committee are left.
    content: the procedure that the release follows, where it is known already.
    """
    asked = (content or procedure_of(release)).rules_for(subject_of(release), *release.destinations, risk=release.risk)
    rules = [Rule(r["stage"], r["role"], r["number"]) for r in asked if r["role"] != "none"]
    here = (
        row
        for row in release.approval_requests.all()
        if row.state == "in_review" and row.environment_id == environment.pk
    )
    open_ = next(here, None)
    out = shown(open_).kept_out.keys() | shown(open_).spoken if open_ is not None else authorship.excluded(release)
    worst = Counter[str]()
    then = release.scheduled_start_at
    for at in (None, then) if then is not None and access.changes_until(then) else (None,):
        given: Persons = []
        if open_ is not None:
            known = shown(open_)
            given = (counts([open_], at, {open_.pk: known.kept_out})[open_.pk] if at is not None else known).persons
        roles = access.roles_by_person(
            environment, at, right="approve", kept_out=out, application=release.application_id
        )
        worst |= empty(rules, [*given, *((person, frozenset(held)) for person, held in roles.items())])
    return dict(worst)
