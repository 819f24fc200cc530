"""What the answers tell browsers: no script but ours, evaluation in the admin only, and no copy kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client
from django.urls import reverse

from releases.models import Step
from tests.releases.admin.conftest import pages_template, seeded

__all__ = ["pages_template", "seeded"]


def rules(answer: Any) -> dict[str, list[str]]:
    given = (part.split() for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: values for name, *values in given}


def test_scripts_are_ours_and_nothing_is_kept(seeded: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client, row = browsers("auditor"), seeded["review"]
    step = Step.objects.filter(deployment__release__isnull=False).first()
    assert step is not None
    pages = [
        reverse("admin:index"),
        reverse("release", args=[row.pk]),
        reverse("step-log", args=[step.pk]),
        reverse("evidence-pack", args=[seeded["released"].number]),
        reverse("approval-request-form", args=[row.pk]),
        reverse("admin:releases_release_changelist"),
        reverse("admin:releases_release_changelist") + "?csv=1",
        "/account/mfa/",
        "/api/v1/docs",
        "/api/v1/releases",
        "/admin/there-is-none/",
    ]
    for address in pages:
        answer = client.get(address)
        scripts = rules(answer)["script-src"]
        assert "'unsafe-inline'" not in scripts and "'self'" in scripts, address
        assert ("'unsafe-eval'" in scripts) is address.startswith("/admin/"), address
        assert "no-store" in answer.headers["Cache-Control"], address
    assert "'unsafe-eval'" not in rules(Client().get("/account/login/"))["script-src"]
