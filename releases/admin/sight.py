"""Which rows of the ledger a reader may see: what is hidden on the page of a row is hidden in its history too."""

from __future__ import annotations

from collections.abc import Callable

from django.db.models import Model
from django.http import HttpRequest

from environments.admin.rights import rights_of
from environments.models import ConfigurationVersion, Environment, Target

SEEN_ONLY: dict[str, type[Model]] = {model._meta.label: model for model in (Target, ConfigurationVersion)}


def sight_of(request: HttpRequest) -> Callable[[str], bool]:
    """Return a function that tells of a label (`app.Model:pk`) whether the reader may see its values, now and then."""
    rights, known = rights_of(request), dict[str, bool]()
    environments: dict[int, Environment] = {}

    def seen(label: str) -> bool:
        model, _colon, pk = label.partition(":")
        if model not in SEEN_ONLY:
            return True
        if label not in known:
            rows = SEEN_ONLY[model]._default_manager.filter(pk=int(pk)) if pk.isdecimal() else None
            where = rows.values_list("environment_id", flat=True).first() if rows is not None else None
            if not environments:
                environments.update({environment.pk: environment for environment in Environment.objects.all()})
            # What is gone belongs to no environment that could be asked: only overseers see it.
            known[label] = rights.sees(environments.get(where or 0))
        return known[label]

    return seen
