"""The announcement goes out with the approval, and the final check asks whether it has reached everybody (P3)."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from audit.refusals import GateNotPassed, InvalidInput
from releases.models import FinalCheck, FollowUp, Notification, NotificationDelivery, RecipientGroup
from releases.operations.notification.approve_external import approve_external, digest_of
from releases.operations.release.sign_final_check import announcement_of, facts_now, sign
from releases.operations.waiver import decide
from tests.releases.channel_types.receivers import MailHost
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import deliver, forget, join, only, outsider, tell
from tests.releases.operations.test_waiver import proposed

RULES = (("release:announce", "development_team", "mail"), ("release:announce", "users", "mail"))


@pytest.fixture
def told(world: Any) -> Any:
    """A release that was approved, with one person inside and one outside to be told of it."""
    for group in RecipientGroup.objects.all():
        alter(group, quiet_from="00:00", quiet_until="00:00")
    only(*RULES)
    join("development_team", world.people["developer"], "developer@datasets.example")
    outsider("users", "kita@users.example")
    forget()
    return world.granted()[0]


def _let_out(world: Any) -> Notification:
    notification = Notification.objects.get(event="release:announce")
    with world.acting_as("project_manager"):
        approve_external(notification.pk, digest=digest_of(notification))
    return notification


def test_the_final_check_waits_until_the_announcement_has_reached_everybody(
    world: Any, told: Any, host: MailHost
) -> None:
    """The first signature already asks for it: nothing that follows the signatures can make it true."""
    assert facts_now(told)["notifications_sent"] == "unknown", "it waits in the outbox"
    tell()
    deliver()
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="external recipients wait for approval"):
        sign(told.pk)
    _let_out(world)
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="1 of 2 deliveries .* not been sent yet"):
        sign(told.pk)
    deliver()
    assert facts_now(told)["notifications_sent"] is True
    assert sorted(host.to) == ["developer@datasets.example", "kita@users.example"]
    for name in ("manager", "operator"):
        with world.acting_as(name):
            sign(told.pk)
    assert world.fresh(told).state == "final_check_completed"
    assert [row.facts["notifications_sent"] for row in FinalCheck.objects.all()] == [True, True]


def test_a_delivery_that_failed_closes_it_until_two_people_waive_it(world: Any, told: Any, host: MailHost) -> None:
    tell()
    _let_out(world)
    deliver()
    row = NotificationDelivery.objects.get(inbox_item__name="kita@users.example")
    alter(row, outcome="failed", last_error="554 no such user")
    found = announcement_of(told, world.environments["production"])
    assert found.result is False and "1 of 2 deliveries" in found.why
    assert [(one.sent, one.failed, one.waiting) for one in found.groups] == [(1, 0, 0), (0, 1, 0)]
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="have failed"):
        sign(told.pk)
    with (
        pytest.raises(InvalidInput, match="for the protected environment that the release goes to"),
        world.acting_as("manager"),
    ):
        from datetime import UTC, datetime, timedelta

        from releases.operations.waiver.request import request_waiver

        request_waiver(told.pk, environment_id=world.environments["staging"].pk, gate="final_check:notifications_sent",
                until=datetime.now(UTC) + timedelta(hours=1), reason="x")  # fmt: skip
    waiver = proposed(world, told, "final_check:notifications_sent")
    assert facts_now(told)["notifications_sent"] is False, "a proposal is no waiver"
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    facts = facts_now(told)
    assert facts["notifications_sent"] == "waived" and facts["digest_unchanged"] is True
    with world.acting_as("manager"):
        sign(told.pk)
    with world.acting_as("operator"):
        sign(told.pk)
    assert world.fresh(told).state == "final_check_completed"
    assert FollowUp.objects.get(key="waiver").about and world.fresh(waiver).follow_up is not None


def test_with_nobody_to_notify_it_is_not_measured_and_says_so(world: Any, browsers: Any) -> None:
    only(*RULES)
    row = world.granted()[0]
    tell()
    assert facts_now(row)["notifications_sent"] == "not_measured"
    page = browsers("manager").get(reverse("release", args=[row.pk])).content.decode()
    assert "No recipient matched the notification rules when the release was approved." in page


def test_the_page_shows_who_was_notified_group_by_group(world: Any, told: Any, browsers: Any) -> None:
    tell()
    page = browsers("manager").get(reverse("release", args=[told.pk])).content.decode()
    table = page[page.index('id="final"') : page.index('id="deployments"')]
    assert "Users" in table and "Development team" in table and "Open the announcement" in table
    form = browsers("manager").get(reverse("operation", args=["release", "sign_final_check", told.pk])).content.decode()
    assert "sent 0, failed 0, pending 1" in form
