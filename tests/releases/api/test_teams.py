"""A service account whose grants name one application reaches nothing of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.actor import acting
from audit.clock import now
from audit.operation import operation
from environments.models import AccessGrant, Account
from releases.models import EmergencyStop
from releases.operations.application.create import create_application
from tests.releases.gates.asking import COMMAND, make


def test_a_token_reaches_the_rows_of_its_accounts_applications(world: Any, call: Callable[..., Any]) -> None:
    release = world.planned()
    deployment = world.verified_deployment(release, "development")
    world.evidence("1.3.0")
    with world.acting_as("manager"):
        other = create_application(slug="other", name="Other", repository=world.application.repository)
    named = {"application": "datasets", "version": "1.3.0", "environment": "development"}
    artefact = {"application": "datasets", "commit": release.commit, "kind": "file", "digest": "a" * 64}
    artefact["reference"] = "https://files.example.org/app.tar"
    asked = [
        ("get", f"/releases/{release.pk}", None),
        ("get", "/releases/datasets/1.3.0/gates/development", None),
        ("get", f"/releases/{release.pk}/dry-run/development", None),
        ("get", f"/deployments/{deployment.pk}", None),
        ("get", "/windows?application=datasets&environment=development", None),
        ("get", "/emergency-stop?application=datasets", None),
        ("get", "/permissions?permission=start&environment=development&application=datasets", None),
        ("post", "/deployments", named),
        ("post", f"/deployments/{deployment.pk}/start", {}),
        ("post", "/artefacts", artefact),
    ]
    lists = ("/releases", "/deployments", "/evidence", "/artefacts")
    known = [call(method, path, body).status_code for method, path, body in asked]
    assert 404 not in known, known
    counted = {path: len(call("get", path).json()["items"]) for path in lists}
    assert counted["/releases"] == 1 and counted["/deployments"] >= 1 and counted["/evidence"] > 5
    with acting(COMMAND), operation("test:limit", (Account, world.people["ci"].pk)):
        AccessGrant.objects.filter(account=world.people["ci"]).update(application=other)
    found = {path: call(method, path, body).status_code for method, path, body in asked}
    assert found.pop(f"/releases/{release.pk}/dry-run/development") in (403, 404)
    assert set(found.values()) == {404}, found
    for path in lists:
        assert call("get", path).json()["items"] == []
    answer = call("get", "/permissions?permission=start&environment=development&application=other").json()
    assert answer["allowed"] and answer["application"] == "other"
    assert not call("get", "/permissions?permission=start&environment=development").json()["allowed"]
    report = {"kind": "junit", "test_type": "unit", "commit": release.commit, "environment": "development"}
    from django.core.files.base import ContentFile

    file = ContentFile(b'<testsuite tests="1"><testcase name="a"/></testsuite>', name="report.xml")
    assert call("post", "/evidence", report | {"application": "datasets", "file": file}).status_code == 404
    file.seek(0)
    assert call("post", "/evidence", report | {"application": "other", "file": file}).status_code == 200


def test_an_emergency_stop_of_another_application_is_not_shown(world: Any, call: Callable[..., Any]) -> None:
    with world.acting_as("manager"):
        other = create_application(slug="other", name="Other", repository=world.application.repository)
    given = {"activated_by": world.people["manager"], "activated_at": now()}
    make(EmergencyStop, application=world.application, reason="theirs", **given)
    with acting(COMMAND), operation("test:limit", (Account, world.people["ci"].pk)):
        AccessGrant.objects.filter(account=world.people["ci"]).update(application=other)
    assert call("get", "/emergency-stop").json() == {"stopped": False, "stops": []}
    for application, reason in ((other, "own"), (None, "of all")):
        make(EmergencyStop, application=application, reason=reason, **given)
    assert {stop["reason"] for stop in call("get", "/emergency-stop").json()["stops"]} == {"own", "of all"}
