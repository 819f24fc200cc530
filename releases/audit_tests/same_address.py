"""Applicant and approver at the same address: two names that may be one person before one machine."""

from __future__ import annotations

from django.db.models import TextField, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext_lazy

from audit.models import Event
from releases.audit_tests.base import Outcome, SavedTest, Scope, counting


def run(scope: Scope) -> Outcome:
    """Compare the address of each word of consent with that of the application for the same round."""
    outcome = Outcome()
    said = scope.approvals().filter(round__release__isnull=False)
    label = Concat(Value("releases.Release:"), Cast("round__release_id", TextField()), output_field=TextField())
    applied: dict[str, list[Event]] = {}
    found = Event.objects.filter(
        object__in=said.order_by().values(label_=label), action="release:submit", kind="action", at__lt=scope.until
    )
    for event in found.order_by("at"):
        applied.setdefault(event.object, []).append(event)
    for word in counting(said):
        outcome.examined += 1
        earlier = [e for e in applied.get(f"releases.Release:{word.round.release_id}", []) if e.at <= word.at]
        if not earlier:
            continue
        address, his = earlier[-1].contents["request"]["address"], word.signature.get("address", "")
        if address and address == his:
            release = word.round.release
            outcome.found(release, str(release), str(word.round.applicant), str(word.account), address, word.at)
    return outcome


TEST = SavedTest(
    key="same-address",
    title=gettext_lazy("Applicant and approver at the same address"),
    question=gettext_lazy("Did an application and a word of consent to it come from the same machine?"),
    columns=(
        *(gettext_lazy("release"), gettext_lazy("applicant"), gettext_lazy("approver"), gettext_lazy("address")),
        gettext_lazy("time"),
    ),
    run=run,
)
