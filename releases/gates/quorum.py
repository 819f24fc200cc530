"""Who has consented, who is missing, who could still give it: stages in order, persons matched to rules.

People are matched by maximum matching, so that a person with two roles never blocks a rule that another could have met.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from django.db.models import Model, Q, QuerySet, prefetch_related_objects

from audit.refusals import GateClosed
from environments import access
from environments.models import Account, ConfigurationVersion, Environment
from releases.gates.base import procedure_of
from releases.models import Approval, ConsentRound, Deployment, Fact, InForce, Release, Waiver
from releases.procedures.document import Procedure as Content
from releases.steps.words import gettext as _

# What was observed of the commits → the duty of those whose addresses it names; who has two bears the first.
COMMITS = {"authors": "commit author", "committers": "committer"}
# Under this name a release that a page shows keeps the answer of `ask_once`.
LENT = "_kept_out_lent"


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
    slots = [rule.role for rule in rules for _slot in range(rule.number)]
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
                empty = sum(1 for _slot in range(rule.number) if filled[(index := index + 1) - 1] is None)
                if empty:
                    missing.append((rule.role, empty))
            return Standing(False, stage, tuple(missing))
    return Standing(True, max(rule.stage for rule in rules), ())


def rules_of(round_: ConsentRound) -> list[Rule]:
    """Return the rules frozen on a round; a row that asks nobody stands for none."""
    return [Rule(r["stage"], r["role"], r["number"]) for r in round_.rules if r["role"] != "none"]


def persons_of(round_: ConsentRound) -> list[tuple[str, frozenset[str]]]:
    """Return who has approved a round on its own digest, as persons with the roles they held then."""
    return counting(round_, Approval.objects.filter(round=round_).select_related("account"))


def counting(round_: ConsentRound, words: Iterable[Approval]) -> list[tuple[str, frozenset[str]]]:
    """Return the persons, with the roles they held then, whose words count as approvals of what a round is about."""
    yes = (word for word in words if word.meaning in Approval.COUNTING and word.digest == round_.digest)
    return [(word.account.person_key, frozenset(word.roles)) for word in yes]


def said(round_: ConsentRound) -> set[str]:
    """Return the persons who have given their word in a round, and those for whom a deputy has: in the words that a page
    has read along with it, or else in those that the database has now.
    """
    if "approvals" in getattr(round_, "_prefetched_objects_cache", {}):
        return speakers(round_.approvals.all())
    return speakers(Approval.objects.filter(round=round_).select_related("account", "on_behalf"))


def speakers(words: Iterable[Approval]) -> set[str]:
    """Return the persons of whom these are the words, and those for whom they were given."""
    return {person.person_key for word in words for person in (word.account, word.on_behalf) if person is not None}


def speakers_of(releases: Iterable[int], states: Iterable[str] = ConsentRound.State.values) -> dict[int, set[str]]:
    """Return release id → the persons who have given their word in its rounds in these states, in one query."""
    words = defaultdict[int, list[Approval]](list)
    rows = Approval.objects.filter(round__release__in=list(releases), round__state__in=list(states))
    for word in rows.select_related("round", "account", "on_behalf"):
        words[word.round.release_id or 0].append(word)
    return defaultdict(set, {release: speakers(said) for release, said in words.items()})


def kept_out(round_: ConsentRound) -> dict[str, str]:
    """Return person key → the duty that keeps him from giving his word in a round."""
    return excluded(round_.release) if round_.release is not None else kept_out_of_rules(round_)


def kept_out_of_rules(round_: ConsentRound) -> dict[str, str]:
    """Return the same for a round about a window or a procedure: who applied, and who wrote the procedure."""
    out = {round_.applicant.person_key: "applicant"}
    if round_.procedure is not None and round_.procedure.author is not None:
        out.setdefault(round_.procedure.author.person_key, "author")
    return out


def excluded(release: Release) -> dict[str, str]:
    """Return person key → the duty that keeps him from approving (see DUTIES of the consent's actions)."""
    lent = release.__dict__.get(LENT)
    return lent() if lent is not None else excluded_of([release])[release.pk]


def ask_once(release: Release) -> None:
    """Let every button of the page that shows a release have the one answer about who may not approve it."""
    release.__dict__[LENT] = cache(lambda: excluded_of([release])[release.pk])


def excluded_of(releases: Sequence[Release]) -> dict[int, dict[str, str]]:
    """Return the same for many releases by their keys, in a number of queries that does not grow with them."""
    out: dict[int, dict[str, str]] = {r.pk: {r.author.person_key: "author"} for r in releases}
    prefetch_related_objects(releases, "editors")
    for release in releases:
        for account in release.editors.all():
            out[release.pk].setdefault(account.person_key, "editor")
    facts = [
        (fact.release_id, COMMITS[fact.kind], {str(address).lower() for address in fact.value})
        for fact in _rows(releases, "facts", Fact.objects.filter(kind__in=COMMITS))
        if fact.kind in COMMITS and isinstance(fact.value, list)
    ]
    facts.sort(key=lambda found: list(COMMITS.values()).index(found[1]))
    addresses = sorted(set().union(*(theirs for _pk, _duty, theirs in facts)))
    for account in Account.objects.filter(git_addresses__has_any_keys=addresses) if addresses else ():
        own = {str(address).lower() for address in account.git_addresses}
        for pk, duty, theirs in facts:
            if theirs & own:
                out[pk].setdefault(account.person_key, duty)
    for release_id, account in _configured(releases):
        out[release_id].setdefault(account.person_key, "editor")
    for round_ in _rows(
        releases, "rounds", ConsentRound.objects.filter(state__in=ConsentRound.LIVE).select_related("applicant")
    ):
        if round_.release_id is not None and round_.state in ConsentRound.LIVE:
            out[round_.release_id].setdefault(round_.applicant.person_key, "applicant")
    for waiver in _rows(
        releases, "waivers", Waiver.objects.exclude(approved_at=None).select_related("proposed_by", "decided_by")
    ):
        for account in (waiver.proposed_by, waiver.decided_by):
            if account is not None and waiver.approved_at is not None:
                out[waiver.release_id].setdefault(account.person_key, "waiver")
    for run in _rows(
        releases,
        "deployments",
        Deployment.objects.exclude(started_by=None).select_related("started_by", "requested_by", "environment"),
    ):
        for account in run.starters if run.environment.protected else ():
            out[run.release_id].setdefault(account.person_key, "starter")
    return out


def _configured(releases: Sequence[Release]) -> Iterator[tuple[int, Account]]:
    """Return (release, person) of all who made a version of the configurations that releases bring: of those since what
    is in force as well, for a secret that a version leaves empty is that of the version before.
    """
    brought = {pk for release in releases for pk in release.configurations.values()}
    chosen = ConfigurationVersion.objects.defer("values", "sealed").in_bulk(brought)
    if not chosen:
        return
    applications = {version.application_id for version in chosen.values()}
    there = InForce.objects.exclude(how=InForce.PROPOSED).filter(application__in=applications)
    numbers = {(a, e): n or 0 for a, e, n in there.values_list("application", "environment", "configuration__number")}
    spans, since = Q(pk__in=chosen), {}
    for version in chosen.values():
        place = version.application_id, version.environment_id
        number = numbers.get(place, 0)
        # One that lies before what is in force may bring what never was: then all before it count.
        since[version.pk] = number if number < version.number else 0
        spans |= Q(application=place[0], environment=place[1], number__gt=since[version.pk], number__lt=version.number)
    made = defaultdict(list)
    for version in ConfigurationVersion.objects.filter(spans).select_related("created_by").defer("values", "sealed"):
        made[version.application_id, version.environment_id].append(version)
    for release in releases:
        for last in (chosen[pk] for pk in release.configurations.values() if pk in chosen):
            for version in made[last.application_id, last.environment_id]:
                if version.pk == last.pk or since[last.pk] < version.number < last.number:
                    yield release.pk, version.created_by


def _rows[Row: Model](releases: Sequence[Release], name: str, otherwise: QuerySet[Row]) -> Iterable[Row]:
    """Return the rows of releases that a page has read along with them, or else as the database has them now."""
    if all(name in getattr(release, "_prefetched_objects_cache", {}) for release in releases):
        return chain.from_iterable(getattr(release, name).all() for release in releases)
    return otherwise.filter(release__in=[release.pk for release in releases])


def commit_authors(release: Release) -> list[str]:
    """Return the addresses of the release's commits as last observed."""
    value = Fact.objects.filter(release=release, kind="authors").values_list("value", flat=True).first()
    return value if isinstance(value, list) else []


def unknown_authors(release: Release) -> list[str]:
    """Return the addresses that belong to no account; with one of them nobody can say who may approve."""
    wrote = commit_authors(release)
    rows = Account.objects.filter(git_addresses__has_any_keys=[str(a).lower() for a in wrote])
    known = {str(a).lower() for theirs in rows.values_list("git_addresses", flat=True) for a in theirs}
    return [a for a in wrote if str(a).lower() not in known]


def require_known_authors(release: Release) -> None:
    """Raise GateClosed while an address of the release's commits belongs to no account."""
    if unknown := unknown_authors(release):
        text = _("Nobody is known by the git address %(addresses)s; enter it at the account.")
        raise GateClosed(text % {"addresses": ", ".join(unknown)})


def candidates(round_: ConsentRound) -> list[Account]:
    """Return who could still give what is missing at the open stage."""
    words = list(Approval.objects.filter(round=round_).select_related("account", "on_behalf"))
    return candidates_beside(round_, words, kept_out(round_))


def asked(round_: ConsentRound) -> list[Account]:
    """Return who could still give what is missing, and who may give it for one of them who is away now."""
    could = candidates(round_)
    out = kept_out(round_).keys() | said(round_)
    deputies = [one for one in access.deputies_for(could) if one.person_key not in out and one not in could]
    return [*could, *deputies]


def candidates_beside(round_: ConsentRound, words: Sequence[Approval], kept: Mapping[str, str]) -> list[Account]:
    """Return the same where the words given so far and those kept out are known already."""
    where = standing(rules_of(round_), counting(round_, words))
    out = kept.keys() | speakers(words)
    found: dict[int, Account] = {}
    for role, _count in where.missing:
        for account in access.holders(role, round_.environment):
            if account.person_key not in out:
                found[account.pk] = account
    return list(found.values())


def lacking(release: Release, environment: Environment, content: Content | None = None) -> list[tuple[str, int]]:
    """Return (role, number of persons) that the rules for a release ask for and that nobody there could give, now or at T-0:
    a role that ends before it and an absence whose deputy is kept out count.

    Asked long before anyone applies: with it a release manager sees at T-14 that no two of the committee are left.
    content: the procedure that the release follows, where it is known already.
    """
    subject = "emergency" if release.kind == Release.Kind.EMERGENCY else "regular"
    asked = (content or procedure_of(release)).approvals_for(subject, environment.tier)
    rules = [Rule(r.stage, r.role, r.number) for r in asked if r.role != "none"]
    out = excluded(release)
    slots = [rule.role for rule in rules for _slot in range(rule.number)]
    worst = Counter[str]()
    for at in (None, release.window_start):
        roles = access.roles_by_person(environment, at, kept_out=out)
        filled = matched(rules, [(person, frozenset(held)) for person, held in roles.items()])
        worst |= Counter(role for role, person in zip(slots, filled, strict=True) if person is None)
    return sorted(worst.items())
