"""Visibility of ledger rows: what is hidden on the page of a row is hidden in its history too."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.db.models import Model, Q
from django.http import HttpRequest

from environments.admin.rights import Rights, rights_of
from environments.application_scope import applications_of
from environments.models import ConfigurationCheck, ConfigurationVersion, DeploymentTarget, Environment, RequestedChange
from releases.models import DeployedVersion, Document, Drift, MonitoringPeriod, Step, StepAttempt
from releases.reporting.evidence_pack import scope

# Label → (model, paths to its environment and its application, what an account must see there). A document of a release
# has no environment.
SEEN_ONLY: dict[str, tuple[type[Model], tuple[str, str], str]] = {
    model._meta.label: (model, (f"{path}environment", f"{path}application"), what)
    for model, path, what in (
        (DeploymentTarget, "", "view"),
        (RequestedChange, "", "view"),
        (ConfigurationVersion, "", "view"),
        (ConfigurationCheck, "version__", "view"),
        (DeployedVersion, "", "view"),
        (Drift, "target__", "view"),
        (MonitoringPeriod, "deployment__", "view"),
        (Step, "deployment__", "read_logs"),
        (StepAttempt, "step__deployment__", "read_logs"),
        (Document, "rollback__deployment__", "read_logs"),
    )
}


def visibility_of(request: HttpRequest, labels: Iterable[str] = ()) -> Callable[[str], bool]:
    """Return a function that says for a label (`app.Model:pk`) whether the reader may see its values, now and then.

    labels: the labels that will be checked; they are read together.
    """
    labels = list(labels)
    rights, known = rights_of(request), dict[str, bool]()
    if _sees_all(rights):
        return lambda label: True

    def learn(wanted: Iterable[str]) -> None:
        by_model = defaultdict[str, set[str]](set)
        for label in wanted:
            model, _colon, pk = label.partition(":")
            if model in SEEN_ONLY:
                by_model[model].add(pk)
        for model, pks in by_model.items():
            kind, paths, what = SEEN_ONLY[model]
            found = kind._base_manager.filter(pk__in=[int(pk) for pk in pks if pk.isdecimal() and len(pk) < 19])
            places = {str(pk): there for pk, *there in found.values_list("pk", *paths)}
            for pk in pks:
                if pk in places:
                    where, application = places[pk]
                    sees = rights.about(application).sees
                    known[f"{model}:{pk}"] = where is None or sees(Environment(pk=where), what)
                else:
                    # A deleted row belongs to no environment that could be checked: only overseers see it.
                    known[f"{model}:{pk}"] = rights.sees(None)

    own = applications_of(labels) if rights.applications is not None else {}

    def seen(label: str) -> bool:
        if rights.applications is not None and own.get(label) is not None and own[label] not in rights.applications:
            return False
        if label.partition(":")[0] not in SEEN_ONLY:
            return True
        if label not in known:
            learn([label])
        return known[label]

    learn(labels)
    return seen


def readable_by(request: HttpRequest) -> tuple[tuple[str, str, tuple[Any, ...]], ...]:
    """Return (model, SQL query of the readable labels, its values) of the models that a search covers only in part.

    A search over hidden values would reveal them character by character.
    """
    rights = rights_of(request)
    if _sees_all(rights):
        return ()
    named = {where for _role, where, _applications in rights.grants if where is not None}
    named |= {where for _role, where in rights.levels}
    found = []
    for name, (model, paths, what) in SEEN_ONLY.items():
        seen = rights.seen([Environment(pk=pk) for pk in named], paths, partial(_sees, what))
        # Zero is no environment: an empty list would give no SQL.
        rows = scope.labels(model).filter(seen | Q(**{f"{paths[0]}__in": [0]}) | Q(**{f"{paths[0]}__isnull": True}))
        found.append((name, *rows.query.sql_with_params()))
    return tuple(found)


def _sees(what: str, rights: Rights, environment: Environment) -> bool:
    return rights.sees(environment, what)


def _sees_all(rights: Rights) -> bool:
    """Tell whether the reader is an overseer of every environment."""
    return rights.sees(Environment(pk=0))
