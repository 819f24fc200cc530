"""One person in two duties of a change: author, approver, starter, verifier."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from environments.access_as_of import AccessAsOf
from environments.language import listed
from environments.models import Account, ConfigurationVersion
from environments.persons import same_person
from releases.gates import authorship
from releases.models import ChangeEntry, Deployment, Fact, Release
from releases.reporting.audit_tests.base import CHUNK, Outcome, SavedTest, Scope, decisions_for, persons


@dataclass(frozen=True)
class Version:
    """A version of a configuration: of which application and environment, its number, and who made it."""

    application: int
    environment: int
    number: int
    made_by: int


class Authors:
    """Authors of deployed content, as the approval counts them (gates/quorum.py); read once for all deployments."""

    def __init__(self, then: AccessAsOf, releases: QuerySet[Any]) -> None:
        """Read the authors. releases: the keys of the releases in question."""
        self._wrote, self._seen = defaultdict[int, list[int]](list), defaultdict[int, list[Any]](list)
        for table, column in ((ChangeEntry.objects, "author"), (Release.editors.through.objects, "account")):
            for release, account in table.filter(release__in=releases).values_list("release", column):
                self._wrote[release].append(account)
        facts = Fact.objects.filter(release__in=releases, kind__in=authorship.COMMITS)
        for release, value in facts.values_list("release", "value"):
            self._seen[release].append(value)
        self._accounts = {account.pk: account for account in Account.objects.all()}
        rows = ConfigurationVersion.objects.values_list("pk", "application", "environment", "number", "created_by")
        self._versions = {pk: Version(*rest) for pk, *rest in rows}
        self._places: dict[tuple[int, int], list[Version]] = defaultdict(list)
        for version in self._versions.values():
            self._places[version.application, version.environment].append(version)
        self._addresses: dict[str, list[tuple[int, datetime, datetime | None]]] = defaultdict(list)
        for life in then.accounts.values():
            for state, following in zip(life.states, [*life.states[1:], None], strict=True):
                addresses = state.values.get("git_addresses")
                # Those of a person whose personal data were erased are not known any more.
                for address in addresses if isinstance(addresses, list) else ():
                    ended = following.at if following is not None else None
                    self._addresses[str(address).lower()].append((int(state.pk), state.at, ended))

    def of(self, deployment: Deployment) -> list[Account]:
        """Return the deployment's author and editors, those of its commits, and those of its configurations."""
        others = {*self._wrote[deployment.release_id], *self._committed(deployment), *self._configured(deployment)}
        return [deployment.release.author, *(self._accounts[pk] for pk in sorted(others) if pk in self._accounts)]

    def _committed(self, deployment: Deployment) -> Iterator[int]:
        """Yield the accounts that had an address of the commits at some time between the plan and the start."""
        release, start = deployment.release, deployment.started_at
        seen = self._seen[release.pk]
        for address in {str(one).lower() for value in seen if isinstance(value, list) for one in value}:
            for account, begun, ended in self._addresses.get(address, ()):
                if (start is None or begun <= start) and (ended is None or ended > release.created_at):
                    yield account

    def _configured(self, deployment: Deployment) -> Iterator[int]:
        """Yield authors of the chosen configurations, and of versions between the active and the deployed one."""
        brought = deployment.previous.get("wanted_configuration")
        for pk in {*deployment.release.configurations.values(), brought} & self._versions.keys():
            yield self._versions[pk].made_by
        if brought not in self._versions:
            return
        last = self._versions[brought]
        before = self._versions.get(deployment.previous.get("deployed_version", {}).get("configuration"))
        # A version before the active one may bring values that were never deployed: then all before it count.
        since = before.number if before is not None and before.number < last.number else 0
        for version in self._places[last.application, last.environment]:
            if since < version.number < last.number:
                yield version.made_by


def duties_of(deployment: Deployment, authors: Authors) -> dict[str, list[Account]]:
    """Return duty → the accounts that had it, for the change that a deployment brought."""
    return {
        "author": authors.of(deployment),
        "approver": [person for decision in decisions_for(deployment) for person in persons(decision)],
        "starter": deployment.starters,
        "verifier": [deployment.verified_by] if deployment.verified_by is not None else [],
    }


def run(scope: Scope) -> Outcome:
    """Count persons, not accounts: those that have or had the same employee id are one."""
    outcome, authors = Outcome(), Authors(scope.then, scope.deployments().order_by().values("release"))
    one = same_person()
    words = {"author": _("author"), "approver": _("approver"), "starter": _("starter"), "verifier": _("verifier")}
    for deployment in scope.deployments().iterator(chunk_size=CHUNK):
        outcome.examined += 1
        had: dict[str, set[str]] = defaultdict(set)
        names: dict[str, str] = {}
        for duty, accounts in duties_of(deployment, authors).items():
            for account in accounts:
                had[one(account.person_key)].add(duty)
                names.setdefault(one(account.person_key), str(account))
        for key, theirs in had.items():
            if len(theirs) > 1:
                both = listed(str(words[duty]) for duty in words if duty in theirs)
                outcome.found(deployment, str(deployment), names[key], both)
    return outcome


TEST = SavedTest(
    key="segregation-of-duties",
    title=_("One person in two duties"),
    question=_("Did anyone have more than one duty in the same change: author, approver, starter or verifier?"),
    columns=(_("deployment"), _("person"), _("duties")),
    run=run,
)
