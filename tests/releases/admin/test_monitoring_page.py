"""The monitoring page: curves, triggers, checks, the series as a file; only for those who see the environment."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from django.urls import reverse

from releases.models import MonitoringPeriod


def test_the_page_shows_curves_marks_triggers_and_checks(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    monitoring = MonitoringPeriod.objects.get(deployment=world["back"], purpose="deployment")
    text = browsers("operator").get(reverse("monitoring", args=[monitoring.pk])).content.decode()
    assert text.count("<figure") == 4
    assert "The deployment target has no metric source for: Alerts per hour" in text
    for said in (
        "baseline 1%",
        "≥ 10%",
        "240 ms",
        "▼",
        "3 of 5",
        "deployment",
        "1 failed",
        "ERROR /datasets",
        "as CSV",
    ):
        assert said in text, said
    assert 'class="gap stale"' in text and 'class="gap no_data"' in text
    page = browsers("operator").get(reverse("deployment", args=[world["back"].pk])).content.decode()
    assert reverse("monitoring", args=[monitoring.pk]) in page
    assert "baseline 1%" in page and "≥ 10%" in page and "240 ms" in page and page.count("r-series") >= 4
    for name in ("outsider", "developer", "administrator"):
        assert browsers(name).get(reverse("monitoring", args=[monitoring.pk])).status_code == 403, name
    assert browsers("operator").post(reverse("monitoring", args=[monitoring.pk])).status_code == 405

    answer = browsers("auditor").get(reverse("monitoring", args=[monitoring.pk]), {"series": "csv"})
    content = answer.content.decode()
    assert content.startswith("\ufeff") and "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(content.lstrip("\ufeff"))))
    assert len(rows) == 40 and rows[39]["error_rate_result"] == "failed" and rows[12]["error_rate"] == ""


def test_checks_are_never_shown_by_their_key(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The baseline before a deployment has no checks; pages show a check's words or leave it out."""
    client = browsers("operator")
    client.cookies["django_language"] = "ja"
    pages = [reverse("deployment", args=[world["back"].pk]), reverse("rollback", args=[world["rollback"].pk])]
    pages += [
        reverse("monitoring", args=[monitoring.pk])
        for monitoring in MonitoringPeriod.objects.filter(deployment=world["back"])
    ]
    for page in pages:
        text = client.get(page).content.decode()
        for key in ("monitoring_logs", "monitoring_backups", "monitoring_alerts"):
            assert key not in text, (page, key)
