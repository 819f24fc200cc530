"""Authorship: who wrote the content of a release and so may not approve it, from rows read each time."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from django.db.models import Prefetch, Q, prefetch_related_objects

from audit.one_look import looking
from audit.refusals import GateNotPassed
from environments.attach_related import related
from environments.models import Account, ConfigurationVersion
from environments.targets.words import gettext as _
from releases.gates.base import procedure_of
from releases.models import ApprovalRequest, DeployedVersion, Deployment, Fact, Release
from releases.sources import git

# Fact about the commits → the duty of the persons whose addresses it names; of two duties the first counts.
COMMITS = {"authors": "commit author", "committers": "committer"}
BELONGING = ("editors", "approval_requests", "waivers", "deployments__environment", "facts")
STARTERS = ("scheduled_by", "requested_by")


def words(duty: str) -> str:
    """Return the words for a duty that keeps a person from approving."""
    return {
        "author": _("the author of what is approved"),
        "editor": _("a person who edited the release or its configuration"),
        "commit author": _("the author of one of its commits"),
        "committer": _("the committer of one of its commits"),
        "requester": _("the person who submitted it for approval"),
        "starter": _("a person who scheduled or started its deployment"),
        "waiver": _("a person who requested or approved one of its waivers"),
    }[duty]


def refusal(duty: str) -> str:
    """Return why a person with a duty in it does not approve, as that person reads it."""
    return _("You cannot approve this, because you are %(duty)s.") % {"duty": words(duty)}


def kept_out_of(approval_requests: Sequence[ApprovalRequest]) -> dict[int, dict[str, str]]:
    """Return approval request → person → the duty that keeps the person from deciding in it.

    For a window, an emergency stop, a procedure or a process: the requester, and the author of a new version.
    """
    about = defaultdict[int, list[int]](list)
    duties = []
    for approval_request in approval_requests:
        if approval_request.release_id is not None:
            about[approval_request.release_id].append(approval_request.pk)
            continue
        duties.append((approval_request.pk, approval_request.requested_by_id, "requester"))
        if approval_request.process is not None:
            process = approval_request.process
            duties += [(approval_request.pk, pk, "author") for pk in (process.author_id, *process.writers)]
        restores = approval_request.subject == ApprovalRequest.Subject.PROCEDURE_RESTORE
        if (procedure := approval_request.procedure) is not None and not restores:
            duties += [
                (approval_request.pk, pk, "author")
                for pk in (procedure.author_id, *procedure.writers)
                if pk is not None
            ]
    theirs, wrote = _duties(_releases(about, approval_requests))
    duties += [(approval_request, account, duty) for pk, account, duty in theirs for approval_request in about[pk]]
    commits = [(approval_request, duty, addresses) for pk, duty, addresses in wrote for approval_request in about[pk]]
    return _by_person((approval_request.pk for approval_request in approval_requests), duties, commits)


def excluded(release: Release) -> dict[str, str]:
    """Return person key → the duty that keeps the person from approving (see `words`)."""
    rows = {release.pk: release} if looking() and _is_read(release) else _read([release.pk])
    return _by_person([release.pk], *_duties(rows))[release.pk]


def excluded_of(releases: Iterable[int]) -> dict[int, dict[str, str]]:
    """Return the same for many releases by their keys, in a number of queries that does not grow with them."""
    ids = list(releases)
    return _by_person(ids, *_duties(_read(ids)))


def _releases(ids: Collection[int], approval_requests: Iterable[ApprovalRequest]) -> dict[int, Release]:
    """Return releases with what belongs to them: one on a page as the page has read it, else as they are now."""
    rows = {r.release.pk: r.release for r in approval_requests if r.release is not None} if looking() else {}
    return rows if len(rows) == 1 and all(map(_is_read, rows.values())) else _read(ids)


def _is_read(release: Release) -> bool:
    """Tell whether a page has read what belongs to a release, and all of it."""
    return {name.partition("__")[0] for name in BELONGING} <= release.__dict__.get(
        "_prefetched_objects_cache", {}
    ).keys()


def _read(ids: Collection[int]) -> dict[int, Release]:
    rows = Release.objects.in_bulk(ids)
    protected = Deployment.objects.filter(environment__protected=True).select_related("environment", *STARTERS)
    # The rows of these that count, with the columns that are asked for.
    requests = ApprovalRequest.objects.filter(state__in=ApprovalRequest.LIVE).only("state", "release", "requested_by")
    parts = {"deployments": protected, "approval_requests": requests, "facts": Fact.objects.filter(kind__in=COMMITS)}
    prefetch_related_objects(list(rows.values()), *(Prefetch(name, part) for name, part in parts.items()))
    return rows


def _duties(rows: Mapping[int, Release]) -> tuple[list[tuple[int, int, str]], list[tuple[int, str, set[str]]]]:
    """Return (release, account, duty), and (release, duty, addresses of its commits)."""
    # What the caller has read of them is not read again.
    prefetch_related_objects(list(rows.values()), *BELONGING, *(f"deployments__{name}" for name in STARTERS))
    duties = [(pk, row.author_id, "author") for pk, row in rows.items()]
    duties += [(pk, account.pk, "editor") for pk, row in rows.items() for account in row.editors.all()]
    duties += [(pk, account, "editor") for pk, account in _configured(list(rows.values()))]
    wrote = []
    for pk, row in rows.items():
        live = (request for request in row.approval_requests.all() if request.state in ApprovalRequest.LIVE)
        duties += [(pk, request.requested_by_id, "requester") for request in live]
        for waiver in row.waivers.all():
            both = (waiver.requested_by_id, waiver.decided_by_id) if waiver.approved_at is not None else ()
            duties += [(pk, account, "waiver") for account in both if account is not None]
        for deployment in row.deployments.all():
            if deployment.environment.protected:
                duties += [(pk, account.pk, "starter") for account in deployment.starters]
        for fact in sorted(row.facts.all(), key=lambda fact: fact.kind):
            if fact.kind in COMMITS and isinstance(fact.value, list):
                wrote.append((pk, COMMITS[fact.kind], {str(address).lower() for address in fact.value}))
    return duties, wrote


def _by_person(
    keys: Iterable[int], duties: list[tuple[int, int, str]], wrote: Sequence[tuple[int, str, set[str]]]
) -> dict[int, dict[str, str]]:
    """Return key → person → the first duty of (key, account, duty) and of (key, duty, addresses of commits).

    Former identities count as well: accounts that shared an employee id remain one person.
    """
    addresses = sorted(set().union(*(theirs for _key, _duty, theirs in wrote)))
    named = Q(pk__in={account for _key, account, _duty in duties}) | Q(git_addresses__has_any_keys=addresses)
    connected = ~Q(former_identities=[], kept_identities=[])
    people = {person.pk: person for person in Account.objects.filter(named | connected)}
    for person in people.values():
        own = {str(address).lower() for address in (*person.git_addresses, *person.former_identities)}
        duties += [(key, person.pk, duty) for key, duty, theirs in wrote if theirs & own]
    found: dict[int, dict[str, str]] = {key: {} for key in keys}
    for key, account, duty in duties:
        for identity in people[account].own_keys:
            found[key].setdefault(identity, duty)
    for theirs in found.values():
        known = -1
        while known != (known := len(theirs)):  # the next pass finds persons connected to those found in this one
            for person in people.values():
                if duty := next((theirs[identity] for identity in person.own_keys if identity in theirs), ""):
                    for identity in person.own_keys:
                        if identity.startswith(Account.PERSON_KEYS):
                            theirs.setdefault(identity, duty)
    return found


def _configured(releases: Sequence[Release]) -> Iterator[tuple[int, int]]:
    """Return (release, account) of all who made a version of the configurations that releases bring: of those since the
    deployed one as well, because an empty secret in a version keeps that of the version before.
    """
    brought = {pk for release in releases for pk in release.configurations.values()}
    chosen = {version.pk: version for version in ConfigurationVersion.read(*sorted(brought))}
    if not chosen:
        return
    numbers = {}
    for row in DeployedVersion.of(*sorted({version.application_id for version in chosen.values()})):
        if row.counts and row.configuration is not None:
            numbers[row.application_id, row.environment_id] = row.configuration.number
    spans, since = Q(pk__in=chosen), {}
    for version in chosen.values():
        place = version.application_id, version.environment_id
        number = numbers.get(place, 0)
        # A version before the deployed one may contain values that were never deployed: then all before it count.
        since[version.pk] = number if number < version.number else 0
        spans |= Q(application=place[0], environment=place[1], number__gt=since[version.pk], number__lt=version.number)
    made = defaultdict(list)
    between = any(version.number - since[version.pk] > 1 for version in chosen.values())
    rows = ConfigurationVersion.objects.filter(spans).defer("values", "encrypted") if between else chosen.values()
    for version in rows:
        made[version.application_id, version.environment_id].append(version)
    for release in releases:
        for last in (chosen[pk] for pk in release.configurations.values() if pk in chosen):
            for version in made[last.application_id, last.environment_id]:
                if version.pk == last.pk or since[last.pk] < version.number < last.number:
                    yield release.pk, version.created_by_id


def writers(everybody: Sequence[Account], addresses: Iterable[str]) -> list[Account]:
    """Return the accounts of the persons to whom one of the Git addresses belongs or has belonged."""
    wanted = set(addresses)
    own = [a for a in everybody if {str(g).lower() for g in (*a.git_addresses, *a.former_identities)} & wanted]
    persons = {identity for a in own for identity in a.identities}
    return [a for a in everybody if a.is_among(persons)]


def unknown_authors(release: Release) -> list[str]:
    """Return why the authors of a release are unknown, a sentence each; then no one may approve it. Empty when known.

    Committers are asked for as well where the procedure counts them as authors.
    """
    kinds = ["authors", *(["committers"] if procedure_of(release).versions.committers_are_authors else [])]
    facts = (fact for fact in related(release, "facts") if fact.kind in kinds)
    seen = {fact.kind: fact.value for fact in facts if isinstance(fact.value, list)}
    if not all(seen.get(kind) for kind in kinds):
        return [_("The authors of the commits are not known yet. Refresh from Git first.")]
    entries = dict.fromkeys(str(entry) for value in seen.values() for entry in value)
    rows = Account.objects.filter(git_addresses__has_any_keys=[entry.lower() for entry in entries])
    known = {str(a).lower() for theirs in rows.values_list("git_addresses", flat=True) for a in theirs}
    found, strangers = [], []
    for entry in entries:
        if (nameless := git.unreadable(entry)) is not None:
            text = _(
                "Commit %(commit)s gives no readable email address for %(name)s, so the product cannot tell who may "
                "approve. Write the commit anew with the address, select the new commit, and refresh from Git."
            )
            found.append(text % {"commit": nameless[0][:12], "name": nameless[1] or "—"})
        elif entry.lower() not in known:
            strangers.append(entry)
    if strangers:
        text = _("No account has the Git email address %(addresses)s. Enter the address at the account of its owner.")
        found.append(text % {"addresses": ", ".join(strangers)})
    return found


def require_known_authors(release: Release) -> None:
    """Raise GateNotPassed while it is not known who wrote a release."""
    if faults := unknown_authors(release):
        raise GateNotPassed(*faults)
