"""A violated unique constraint becomes a refusal with a message, for every constraint of the product."""

from __future__ import annotations

import re
from typing import Any

from django.apps import apps
from django.db.models import UniqueConstraint

from audit.actor import acting
from audit.models import Event
from audit.operation import operation
from audit.refusals import AlreadyExists
from tests.releases.gates.asking import COMMAND


def unique_models() -> list[str]:
    """Return the models that have a unique field beside their key, or a unique constraint over several fields."""
    found = []
    for model in apps.get_models():
        several = any(isinstance(constraint, UniqueConstraint) for constraint in model._meta.constraints)
        single = any(field.unique and not field.primary_key for field in model._meta.concrete_fields)
        if (several or single) and model._meta.app_label in ("environments", "releases"):
            found.append(model._meta.label)
    return found


def test_a_duplicate_row_is_refused_with_a_message(world: Any) -> None:
    world.planned()
    tried = []
    for label in unique_models():
        row = apps.get_model(label)._base_manager.first()
        if row is None:
            continue
        row.pk = None
        if hasattr(row, "state"):  # the database accepts no other first state
            row.__dict__["state"] = row._meta.get_field("state").get_default()
        try:
            with acting(COMMAND), operation("test:twin") as op:
                row.save(force_insert=True)
                op.about(row)
        except AlreadyExists as refused:
            tried.append(label)
            assert re.fullmatch("There is already another .+ with the same .+", str(refused)), label
            assert refused.constraint, label
    assert Event.objects.filter(operation="test:twin", kind="refusal").count() == len(tried)
    assert {
        "environments.DeploymentTarget",
        "environments.Application",
        "environments.Account",
        "releases.Release",
    } <= {*tried}
    assert len(tried) >= 10, tried
