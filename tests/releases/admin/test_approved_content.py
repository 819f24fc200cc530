"""An approval request names each part of its content in the reader's language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from django.utils import translation

from environments.admin.rights import Rights
from environments.models import Application, Environment
from releases.admin.pages.approval_request.rows import clauses
from releases.models import ApprovalRequest, EmergencyStop
from releases.operations.emergency_stop.activate import activate
from releases.operations.emergency_stop.request_lift import request_lift


def test_the_content_has_no_key_in_the_place_of_words(
    seeded: dict[str, Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    with acting_as("operator"):
        activate(reason="smoke")
        asked = request_lift(EmergencyStop.objects.get(lifted_at=None).pk, reason="it was toast")
    page = browsers("committee_b").get(reverse("approval-request", args=[asked.pk])).content.decode()
    assert "Production" in page or "本番環境" in page
    for key in asked.document.keys() - {"application", "reason"}:
        assert f">{key}<" not in page.replace("\n", "").replace(" ", ""), key


@pytest.mark.parametrize("language", ["ja", "en"])
def test_no_value_of_the_content_is_a_key(world: dict[str, Any], language: str) -> None:
    asked = ApprovalRequest.objects.get(release=world["review"], state="in_review")
    milestones = asked.release.procedure.document.milestones  # type: ignore[union-attr]
    application, production = Application.objects.first(), Environment.objects.get(slug="production")
    assert application is not None and len(milestones) > 3
    asked.document |= {
        "due_immediately": [milestone.key for milestone in milestones],
        "applications": [application.slug, "gone"],
        "stopped_environments": ["production"],
        "pauses": True,
    }
    with translation.override(language):
        shown = {clause.key: clause.text for clause in clauses(asked, Rights(None))}
        comma = "、" if language == "ja" else ", "
        assert shown["due_immediately"] == comma.join(milestone.label(language) for milestone in milestones)
        assert shown["applications"] == f"{application}{comma}gone"
        assert shown["stopped_environments"] == str(production)
        assert shown["pauses"] == ("はい" if language == "ja" else "yes")


@pytest.mark.parametrize(("language", "words"), [("ja", "すべてのアプリケーション"), ("en", "all applications")])
def test_a_request_about_all_applications_says_so(
    seeded: dict[str, Any], acting_as: Callable[..., Any], language: str, words: str
) -> None:
    with acting_as("operator"):
        activate(reason="smoke")
        asked = request_lift(EmergencyStop.objects.get(lifted_at=None).pk, reason="it was toast")
    with translation.override(language):
        shown = {clause.key: clause.text for clause in clauses(asked, Rights(None))}
    assert shown["application"] == words
