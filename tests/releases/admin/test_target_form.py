"""The form of a deployment target: typed fields, faults at the field, and one sentence for what is taken already."""

from __future__ import annotations

from typing import Any

from environments.models import Target


def test_a_second_target_in_one_environment_is_answered_with_one_sentence(world: Any, browsers: Any) -> None:
    there: Any = Target.objects.select_related("environment").filter(environment__slug="production").first()
    form = {"application_id": there.application_id, "environment_id": there.environment_id, "root": "/srv/second"}
    answered = browsers("operator").post("/admin/act/target/create/", {**form, "settings": "{}"})
    assert answered.status_code == 400
    assert (
        f"This application already has a deployment target in Production: {there.root}. Change the folder"
        in answered.text
    )
