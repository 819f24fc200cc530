"""That history and governed rows are what the ledger proves, as the nightly comparison found it."""

from __future__ import annotations

from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.models import Event
from audit.reconciliation import night
from environments.models import Account
from releases.audit_tests.base import Outcome, SavedTest, Scope


def run(scope: Scope) -> Outcome:
    """Read the outcomes and alarms of the comparisons of the period; a row that several nights found is named once."""
    outcome, found = Outcome(), {}
    said = Event.objects.filter(kind="action", at__gte=scope.since, at__lt=scope.until)
    bulk: dict[tuple[int, int], dict[str, Any]] = {}
    nights = said.filter(action=night.OUTCOME).order_by("at")
    for event in nights.iterator(chunk_size=100):
        details = event.contents["after"]
        outcome.examined = max(outcome.examined, details["rows"] + details["present"])
        bulk |= {(write["first"], write["last"]): write for write in details["writes"]}
    for event in said.filter(action=night.ALARM).order_by("at").iterator(chunk_size=100):
        for row in event.contents["after"]["rows"]:
            found[row["object"], row["row"]] = row
    names = dict(Account.objects.values_list("pk", "display_name"))
    for row in found.values():
        account = names.get(int(row["account"]), row["account"]) if row["account"] else ""
        at = parse_datetime(row["at"]) if row["at"] else None
        outcome.found(None, row["object"], row["row"] or "", at, account, night.reason_of(row))
    outcome.notes.append((_("comparisons made"), nights.count()))
    for write in bulk.values():
        words = _("%(count)s × %(table)s (events %(first)s to %(last)s)") % write
        outcome.notes.append((f"{write['action']} · {write['actor']}", words))
    return outcome


TEST = SavedTest(
    key="history-unexplained",
    title=gettext_lazy("History that no event explains"),
    question=gettext_lazy(
        "Are the history that people read and the governed rows what the ledger proves? Bulk writes that it does not tell of stand beside it."
    ),
    columns=(
        gettext_lazy("object"),
        gettext_lazy("history row"),
        gettext_lazy("time"),
        gettext_lazy("account"),
        gettext_lazy("finding"),
    ),
    run=run,
)
