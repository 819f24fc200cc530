"""Visibility of ledger rows: what is hidden on the page of a row is hidden in its history too."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import Model, Q
from django.http import HttpRequest

from environments.admin.rights import Rights, rights_of
from environments.models import ConfigurationCheck, ConfigurationVersion, DeploymentTarget, Environment, RequestedChange
from releases.models import Document, Step, StepAttempt
from releases.reporting.evidence_pack import scope

# Label → (model, path to its environment, what an account must see there). A document of a release has no environment.
SEEN_ONLY: dict[str, tuple[type[Model], str, str]] = {
    DeploymentTarget._meta.label: (DeploymentTarget, "environment", "view"),
    RequestedChange._meta.label: (RequestedChange, "environment", "view"),
    ConfigurationVersion._meta.label: (ConfigurationVersion, "environment", "view"),
    ConfigurationCheck._meta.label: (ConfigurationCheck, "version__environment", "view"),
    Step._meta.label: (Step, "deployment__environment", "read_logs"),
    StepAttempt._meta.label: (StepAttempt, "step__deployment__environment", "read_logs"),
    Document._meta.label: (Document, "rollback__deployment__environment", "read_logs"),
}


def visibility_of(request: HttpRequest, labels: Iterable[str] = ()) -> Callable[[str], bool]:
    """Return a function that says for a label (`app.Model:pk`) whether the reader may see its values, now and then.

    labels: the labels that will be checked; they are read together.
    """
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
            kind, path, what = SEEN_ONLY[model]
            found = kind._default_manager.filter(pk__in=[int(pk) for pk in pks if pk.isdecimal() and len(pk) < 19])
            places = {str(pk): where for pk, where in found.values_list("pk", path)}
            for pk in pks:
                if pk in places:
                    where = places[pk]
                    known[f"{model}:{pk}"] = where is None or rights.sees(Environment(pk=where), what)
                else:
                    # A deleted row belongs to no environment that could be checked: only overseers see it.
                    known[f"{model}:{pk}"] = rights.sees(None)

    def seen(label: str) -> bool:
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
    named = {where for _role, where in (*rights.grants, *rights.levels) if where is not None}
    found = []
    for name, (model, path, what) in SEEN_ONLY.items():
        seen = [pk for pk in named if rights.sees(Environment(pk=pk), what)]
        # Zero is no environment: an empty list would give no SQL.
        rows = scope.labels(model).filter(Q(**{f"{path}__in": [0, *seen]}) | Q(**{f"{path}__isnull": True}))
        found.append((name, *rows.query.sql_with_params()))
    return tuple(found)


def _sees_all(rights: Rights) -> bool:
    """Tell whether the reader is an overseer of every environment."""
    return rights.sees(Environment(pk=0))
