"""Approvers read the commands that will run, and the differences on the target from the last deployment."""

from __future__ import annotations

from html import unescape
from typing import Any

from django.urls import reverse

from audit.clock import now
from releases.models import Deployment, Procedure, Release
from tests.releases.gates.asking import alter, make, walk

MIGRATE = ["/srv/tools/migrate", "--database", "two words"]


def test_the_approval_pages_show_each_command(world: Any, browsers: Any) -> None:
    target = world.targets["production"]
    alter(target, options={"migrate": MIGRATE})
    release, approval_request = world.submitted()
    for address in (
        reverse("operation", args=["approval", "approve", approval_request.pk]),
        reverse("release", args=[release.pk]),
        reverse("sign-all", args=[release.pk]),
    ):
        page = unescape(browsers("committee_a").get(address).content.decode())
        assert "/srv/tools/migrate --database 'two words'" in page, address
    page = unescape(browsers("developer").get(reverse("release", args=[release.pk])).content.decode())
    assert "/srv/tools/migrate" not in page, "who may not see the target does not read its commands"


def test_target_differences_from_the_last_deployment_are_named(world: Any, browsers: Any) -> None:
    target, place = world.targets["production"], world.environments["production"]
    alter(target, options={"migrate": ["old"], "log": "app.log"})
    earlier = make(
        Release,
        application=world.application,
        version="1.0.0",
        title="x",
        tag="v1.0.0",
        author=world.people["manager"],
        procedure=Procedure.objects.get(state="in_effect"),
    )
    place_of = {"application": world.application, "environment": place, "requested_by": world.people["operator"]}
    deployment = make(Deployment, release=earlier, **place_of)
    alter(walk(deployment, "schedule", "enqueue", "start", "start_verification", "start_monitoring"), started_at=now())
    alter(target, options={"migrate": MIGRATE, "log": "app.log"})
    _release, approval_request = world.submitted()
    page = unescape(
        browsers("committee_a")
        .get(reverse("operation", args=["approval", "approve", approval_request.pk]))
        .content.decode()
    )
    assert "migrate: old → /srv/tools/migrate --database 'two words'" in page and "log: app.log" not in page
