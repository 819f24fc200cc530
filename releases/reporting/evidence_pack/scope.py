"""Rows that belong to a release or to an environment, as the labels under which the ledger names them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import F, Model, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat

from audit import as_of
from audit.as_of import Life, Past
from environments import models as e
from releases import models as r
from releases.models import Evidence, Release, Step


def _paths(paths: dict[str, tuple[Any, ...]]) -> tuple[tuple[type[Model], str], ...]:
    return tuple((model, path) for path, models in paths.items() for model in models)


# Model and the path from it to its release.
TO_RELEASE = _paths(
    {
        "pk": (r.Release,),
        "release": (
            *(
                r.Release.editors.through,
                r.ChangeEntry,
                r.MergeRequest,
                r.Milestone,
                r.ChecklistItem,
                r.TeamMember,
                r.FinalCheck,
                r.Fact,
            ),
            *(r.MeetingDecision, r.Waiver, r.FollowUp, r.Document, r.ApprovalRequest, r.Deployment),
        ),
        "decisions__release": (r.CommitteeMeeting,),
        "committeemeeting__decisions__release": (r.CommitteeMeeting.attendees.through,),
        "rollback__deployment__release": (r.Document,),
        "document__release": (r.DocumentSignature,),
        "document__rollback__deployment__release": (r.DocumentSignature,),
        "approval_request__release": (r.ApprovalDecision,),
        "deployment__release": (r.Step, r.MonitoringPeriod, r.Rollback, r.DecisionRequest),
        "step__deployment__release": (r.StepAttempt,),
    }
)
# Model and the path from it to its environment.
TO_ENVIRONMENT = _paths(
    {
        "pk": (e.Environment,),
        "environment": (
            *(
                e.AccessRule,
                e.AccessGrant,
                e.AccessRequest,
                e.ChangeWindow,
                e.ChangeFreeze,
                e.DeploymentTarget,
                e.ConfigurationVersion,
            ),
            *(r.Evidence, r.ApprovalRequest, r.Waiver, r.DeployedVersion, r.Deployment),
        ),
        "grant__environment": (e.AccessReviewItem,),
        "version__environment": (e.ConfigurationCheck,),
        "approval_request__environment": (r.ApprovalDecision,),
        "deployment__environment": (r.Step, r.MonitoringPeriod, r.Rollback, r.DecisionRequest),
        "step__deployment__environment": (r.StepAttempt,),
    }
)
_SUSPECT = """
SELECT object FROM audit_event WHERE outcome = 'deleted' AND ({})
UNION SELECT object FROM audit_event WHERE kind = 'row' AND actor >= 'break-glass:' AND actor < 'break-glass;'
    AND split_part(object, ':', 1) = ANY (%s)
"""
_TOUCHED = """
SELECT DISTINCT t.object FROM audit_event t WHERE t.kind = 'row' AND split_part(t.object, ':', 1) = ANY (%s)
    AND t.operation_id IN (SELECT a.operation_id FROM audit_event a WHERE a.object = ANY (%s) AND a.operation_id IS NOT
      NULL)
"""


@cache
def _name(model: type[Model]) -> str:
    owner: Any = model._meta.auto_created
    if not owner:
        return model._meta.label
    return next(f"{owner._meta.label}.{m.name}" for m in owner._meta.many_to_many if m.remote_field.through is model)


def label_of(model: type[Model], pk: Any) -> str:
    """Return a row's label in the ledger: `app.Model:pk`, or `app.Model.field:pk` of a many-to-many field."""
    return f"{_name(model)}:{pk}"


def labels(model: type[Model], **wanted: Any) -> QuerySet[Any, Any]:
    """Return the labels of the rows of a model."""
    name = Concat(Value(label_of(model, "")), Cast(F("pk"), TextField()), output_field=TextField())
    return model._base_manager.filter(**wanted).order_by().annotate(label_=name).values_list("label_", flat=True)


def _all(found: list[QuerySet[Any, Any]]) -> tuple[str, tuple[Any, ...]]:
    """Return one SQL query for the labels of several, and its values."""
    parts = [rows.query.sql_with_params() for rows in found]
    return " UNION ALL ".join(f"({query})" for query, _values in parts), tuple(v for _q, given in parts for v in given)


def _asked(query: str, values: Sequence[Any]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return {label for (label,) in cursor.fetchall()}


def present(release_id: int) -> set[str]:
    """Return the labels of a release and of all its present rows, its evidence too."""
    found = [labels(model, **{path: release_id}) for model, path in TO_RELEASE]
    release = Release.objects.filter(pk=release_id).first()
    if release is not None:
        found.append(labels(Evidence, pk__in=evidence_of(release).values("pk")))
    return _asked(*_all(found)) | {label_of(Release, release_id)}


def of_release(release_id: int) -> list[str]:
    """Return the labels of a release and of all rows that it ever had."""
    there = present(release_id)
    return sorted(there | removed_of(release_id, there).keys())


@cache
def _links() -> dict[str, list[tuple[str, str, bool]]]:
    """Return model → (column, model at the other end, whether it has the column) of the step towards a release."""
    links: dict[str, list[tuple[str, str, bool]]] = {_name(Evidence): []}
    for model, path in TO_RELEASE[1:]:
        field: Any = model._meta.get_field(path.partition("__")[0])
        column = field.column if field.concrete else field.field.column
        links.setdefault(_name(model), []).append((column, _name(field.related_model), not field.concrete))
    return links


@dataclass(frozen=True)
class Removed:
    """A row that belonged to a release and is gone. was: its last state in it; by: the event that ended it, its own or
    that of the row that led to it; None where there is no such event.
    """

    was: Past
    by: Past | None


def removed_of(release_id: int, there: set[str]) -> dict[str, Removed]:
    """Return label → of the rows that belonged to a release, as the ledger says, and are not `there` any more.

    The candidates are the rows that the release's operations touched, every deleted row, and every row changed by hand.
    Of steps only the first: the product creates new ones whenever a deployment is scheduled again.
    """
    edges = [edge for name in _links() if name != _name(Step) for edge in (f"{name}:", f"{name};")]
    suspect = _SUSPECT.format(" OR ".join(["object >= %s AND object < %s"] * (len(edges) // 2)))
    release, models = Release.objects.filter(pk=release_id).first(), list(_links())
    pending = as_of.lives_of_rows(_asked(suspect, [*edges, models]) - there)
    found: dict[str, Removed] = {}
    new = known = set(there)
    while new:
        pending |= as_of.lives_of_rows(_asked(_TOUCHED, [models, list(new)]) - known - pending.keys())
        ended = {label: _removed(label, life, known, found, release) for label, life in pending.items()}
        found |= {label: one for label, one in ended.items() if one is not None}
        new = pending.keys() & found.keys()
        pending = {label: life for label, life in pending.items() if label not in new}
        known = known | new
    return found


def _removed(
    label: str, life: Life, known: set[str], found: dict[str, Removed], release: Release | None
) -> Removed | None:
    following: Past | None = None
    for state in reversed(life.states):
        for column, other, theirs in _links()[label.partition(":")[0]]:
            led = [one for name, one in found.items() if theirs and name.startswith(f"{other}:")]
            if child := next((one for one in led if str(one.was.values.get(column)) == state.pk), None):
                return Removed(state, state if state.gone else child.by)
            if not theirs and f"{other}:{state.values.get(column)}" in known:
                return Removed(state, state if state.gone else following)
        if release is not None and label.startswith(label_of(Evidence, "")) and _counts(state, release):
            return Removed(state, state if state.gone else following)
        following = state
    return None


def _counts(evidence: Past, release: Release) -> bool:
    """Tell whether a piece of evidence, as it was, counted for a release."""
    same = [name for name in ("commit", "tree") if getattr(release, name)]
    values = evidence.values
    there = values.get("application_id") == release.application_id
    return there and any(values.get(name) == getattr(release, name) for name in same)


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
    """Return an SQL query and its values for the labels of all rows in an environment, or there when deleted."""
    query, values = _all([labels(model, **{path: environment_id}) for model, path in TO_ENVIRONMENT])
    for model, path in TO_ENVIRONMENT:
        first, _dots, rest = path.partition("__")
        if first == "pk" or model is Step:
            continue
        field: Any = model._meta.get_field(first)
        ends = field.related_model._base_manager.filter(**{rest or "pk": environment_id}).order_by()
        there, given = ends.annotate(pk_=Cast(F("pk"), TextField())).values_list("pk_").query.sql_with_params()
        query += (
            f" UNION ALL (SELECT d.object FROM audit_event d WHERE d.outcome = 'deleted' AND d.object >= %s"
            f" AND d.object < %s AND convert_from(d.bytes, 'UTF8')::jsonb #>> ARRAY['before', %s] IN ({there}))"
        )
        values += (label_of(model, ""), f"{_name(model)};", field.column, *given)
    return query, values


def environments_of(labels: Iterable[str]) -> dict[str, int]:
    """Return label → key of its environment, for the rows that have one; one query for each model."""
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
        rows = model._base_manager.filter(pk__in=pks, **{f"{path}__isnull": False}).order_by()
        found |= {f"{name}:{pk}": where for pk, where in rows.values_list("pk", path)}
    return found
