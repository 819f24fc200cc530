"""What belongs to a release or to an environment, as the labels under which the ledger names the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import F, Model, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat

from environments.models import (
    AccessGrant,
    AccessRequest,
    AccessReviewItem,
    AccessRule,
    ChangeWindow,
    ConfigurationCheck,
    ConfigurationVersion,
    Environment,
    Freeze,
    Target,
)
from releases.models import (
    Approval,
    Change,
    ChecklistItem,
    ConsentRound,
    Deployment,
    Document,
    Evidence,
    Fact,
    FinalCheck,
    InForce,
    Meeting,
    MeetingDecision,
    Milestone,
    Obligation,
    Question,
    Release,
    Rollback,
    RosterEntry,
    Step,
    StepAttempt,
    Waiver,
    Watch,
)

# Model and the path from it to its release.
TO_RELEASE: tuple[tuple[type[Model], str], ...] = (
    (Release, "pk"),
    (Change, "release"),
    (Milestone, "release"),
    (ChecklistItem, "release"),
    (RosterEntry, "release"),
    (FinalCheck, "release"),
    (Fact, "release"),
    (Meeting, "decisions__release"),
    (MeetingDecision, "release"),
    (Waiver, "release"),
    (Obligation, "release"),
    (Document, "release"),
    (Document, "rollback__deployment__release"),
    (ConsentRound, "release"),
    (Approval, "round__release"),
    (Deployment, "release"),
    (Step, "deployment__release"),
    (StepAttempt, "step__deployment__release"),
    (Watch, "deployment__release"),
    (Rollback, "deployment__release"),
    (Question, "deployment__release"),
)

# Model and the path from it to its environment.
TO_ENVIRONMENT: tuple[tuple[type[Model], str], ...] = (
    (Environment, "pk"),
    (AccessRule, "environment"),
    (AccessGrant, "environment"),
    (AccessRequest, "environment"),
    (AccessReviewItem, "grant__environment"),
    (ChangeWindow, "environment"),
    (Freeze, "environment"),
    (Target, "environment"),
    (ConfigurationVersion, "environment"),
    (ConfigurationCheck, "version__environment"),
    (Evidence, "environment"),
    (ConsentRound, "environment"),
    (Approval, "round__environment"),
    (Waiver, "environment"),
    (InForce, "environment"),
    (Deployment, "environment"),
    (Step, "deployment__environment"),
    (StepAttempt, "step__deployment__environment"),
    (Watch, "deployment__environment"),
    (Rollback, "deployment__environment"),
    (Question, "deployment__environment"),
)


def labels(model: type[Model], **wanted: Any) -> QuerySet[Any, Any]:
    """Return the labels of the rows of a model."""
    name = Concat(Value(f"{model._meta.label}:"), Cast(F("pk"), TextField()), output_field=TextField())
    return model._default_manager.filter(**wanted).order_by().annotate(label_=name).values_list("label_", flat=True)


def _all(found: list[QuerySet[Any, Any]]) -> tuple[str, tuple[Any, ...]]:
    """Return one SQL query for the labels of several, and its values."""
    parts = [rows.query.sql_with_params() for rows in found]
    return " UNION ALL ".join(f"({query})" for query, _values in parts), tuple(v for _q, given in parts for v in given)


def of_release(release_id: int) -> list[str]:
    """Return the labels of a release and of all that was made for it, in one query."""
    query, values = _all([labels(model, **{path: release_id}) for model, path in TO_RELEASE])
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return [label for (label,) in cursor.fetchall()]


def evidence_of(release: Release) -> QuerySet[Evidence]:
    """Return the evidence that counts for a release: that of its tree, and of its commit."""
    found = Evidence.objects.filter(application_id=release.application_id)
    by_commit, by_tree = found.none(), found.none()
    if release.commit:
        by_commit = found.filter(commit=release.commit)
    if release.tree:
        by_tree = found.filter(tree=release.tree)
    return (by_commit | by_tree).distinct().order_by("pk")


def in_environment(environment_id: int) -> tuple[str, tuple[Any, ...]]:
    """Return an SQL query for the labels of all that lies in an environment, and its values."""
    return _all([labels(model, **{path: environment_id}) for model, path in TO_ENVIRONMENT])


def environments_of(labels: Iterable[str]) -> dict[str, int]:
    """Return label → key of the environment that it lies in, of those that lie in one; one query for each model."""
    paths, by_model = (
        {model._meta.label: (model, path) for model, path in TO_ENVIRONMENT},
        defaultdict[str, set[int]](set),
    )
    for label in labels:
        name, _colon, pk = label.partition(":")
        if name in paths and pk.isdecimal():
            by_model[name].add(int(pk))
    found: dict[str, int] = {}
    for name, pks in by_model.items():
        model, path = paths[name]
        rows = model._default_manager.filter(pk__in=pks, **{f"{path}__isnull": False}).order_by()
        found |= {f"{name}:{pk}": where for pk, where in rows.values_list("pk", path)}
    return found
