"""The SQL of a query is Django's own, whatever is left out while it is written."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.db.backends.postgresql.compiler import SQLCompiler
from django.db.models import Count, F, QuerySet
from django.db.models.functions import Lower
from django.db.models.sql import compiler

from environments.models import Account, Application
from releases.models import Deployment, Release, Step

QUERIES: dict[str, QuerySet[Any, Any]] = {
    "annotation": Release.objects.annotate(times=Count("deployments")).order_by("-times", "pk"),
    "annotated column": Release.objects.annotate(name=F("version")).order_by("name"),
    "expression": Account.objects.order_by(Lower("username").desc()),
    "selected expression": Account.objects.values(name=Lower("username")).order_by("name"),
    "distinct": Account.objects.filter(grants__role="x").distinct().order_by("username"),
    "distinct on": Step.objects.order_by("deployment", "-ordinal").distinct("deployment"),
    "union": Account.objects.filter(pk=1).union(Account.objects.filter(pk=2)).order_by("username"),
    "values": Deployment.objects.order_by("release__version").values_list("pk", "release__version"),
    "joined": Deployment.objects.select_related("release__application", "environment").order_by("environment__order"),
    "related order": Step.objects.select_related("deployment").order_by("deployment", "ordinal"),
    "random": Application.objects.order_by("?"),
    "none": Application.objects.order_by(),
}


def own(query: QuerySet[Any, Any]) -> Any:
    return query.query.clone().get_compiler(connection=connection).as_sql()


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_written_as_django_writes_it(name: str) -> None:
    query = QUERIES[name]
    assert own(query) == SQLCompiler(query.query.clone(), connection, "default").as_sql()


def test_so_is_each_model_in_its_own_order() -> None:
    ordered = [model for model in apps.get_models() if model._meta.ordering]
    assert len(ordered) > 20
    for model in ordered:
        query = models.QuerySet(model)
        assert own(query) == SQLCompiler(query.query.clone(), connection, "default").as_sql(), model


def test_a_plain_order_makes_no_object_for_each_column(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any) -> None:
        raise AssertionError("a column was compared")

    monkeypatch.setattr(compiler, "PositionRef", refuse)
    own(QUERIES["joined"])
    with pytest.raises(AssertionError, match="compared"):
        own(QUERIES["annotation"])
    with pytest.raises(AssertionError, match="compared"):
        SQLCompiler(QUERIES["joined"].query.clone(), connection, "default").as_sql()
