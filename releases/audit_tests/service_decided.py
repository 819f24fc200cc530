"""Service accounts that decided: every word, signature and second name that only a person may give."""

from __future__ import annotations

from django.db.models import Model
from django.utils.translation import gettext_lazy

from environments.models import AccessGrant, AccessReviewItem, Account, Deputy
from releases.audit_tests.base import Outcome, SavedTest, Scope
from releases.models import Approval, Deployment, Document, FinalCheck, Obligation, Rollback, Waiver

# Model, the column of who decided, the column of when.
DECISIONS: tuple[tuple[type[Model], str, str], ...] = (
    (Approval, "account", "at"),
    (Approval, "on_behalf", "at"),
    (FinalCheck, "account", "signed_at"),
    (Deployment, "verified_by", "started_at"),
    (Rollback, "authorised_by", "raised_at"),
    (Waiver, "proposed_by", "proposed_at"),
    (Waiver, "decided_by", "approved_at"),
    (Obligation, "settled_by", "settled_at"),
    (Document, "approved_by", "updated_at"),
    (Document, "checked_by", "updated_at"),
    (AccessGrant, "granted_by", "created_at"),
    (AccessGrant, "confirmed_by", "confirmed_at"),
    (AccessReviewItem, "decided_by", "decided_at"),
    (Deputy, "confirmed_by", "confirmed_at"),
)


def run(scope: Scope) -> Outcome:
    """Look at each decision of the period; an account that was a service when it decided counts, whatever it is now."""
    outcome = Outcome()
    for model, who, when in DECISIONS:
        made = model._default_manager.filter(
            **{f"{who}__isnull": False, f"{when}__gte": scope.since, f"{when}__lt": scope.until}
        ).select_related(who)
        field = str(model._meta.get_field(who).verbose_name)  # type: ignore[union-attr]
        for row in made:
            outcome.examined += 1
            account, at = getattr(row, who), getattr(row, when)
            past = scope.then.person(account.pk, at)
            if Account.Kind.SERVICE in (account.kind, past.kind if past is not None else ""):
                outcome.found(row, str(model._meta.verbose_name), str(row), field, str(account), at)
    return outcome


TEST = SavedTest(
    key="service-decided",
    title=gettext_lazy("Service accounts that decided"),
    question=gettext_lazy("Was every decision a person's?"),
    columns=(
        *(gettext_lazy("kind"), gettext_lazy("object"), gettext_lazy("duty"), gettext_lazy("account")),
        gettext_lazy("time"),
    ),
    run=run,
)
