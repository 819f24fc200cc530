"""The announcement is sent with the approval, and the final check asks whether it has reached everybody (P3)."""

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
from tests.releases.operations.notifying import deliver, forget, join, make_notifications, only, outsider
from tests.releases.operations.test_waiver import waiver_requested

RULES = (("release:announce", "development_team", "mail"), ("release:announce", "users", "mail"))


@pytest.fixture
def approved(world: Any) -> Any:
    """An approved release, with one internal and one external recipient of its announcement."""
    for group in RecipientGroup.objects.all():
        alter(group, quiet_from="00:00", quiet_until="00:00")
    only(*RULES)
    join("development_team", world.people["developer"], "developer@datasets.example")
    outsider("users", "kita@users.example")
    forget()
    return world.approved()[0]


def _let_out(world: Any) -> Notification:
    notification = Notification.objects.get(event="release:announce")
    with world.acting_as("project_manager"):
        approve_external(notification.pk, digest=digest_of(notification))
    return notification


def test_the_final_check_waits_until_the_announcement_has_reached_everybody(
    world: Any, approved: Any, host: MailHost
) -> None:
    """The first signature already requires it: nothing that follows the signatures can make it true."""
    assert facts_now(approved)["notifications_sent"] == "unknown", "it waits in the outbox"
    make_notifications()
    deliver()
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="external recipients wait for approval"):
        sign(approved.pk)
    _let_out(world)
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="1 of 2 deliveries .* not been sent yet"):
        sign(approved.pk)
    deliver()
    assert facts_now(approved)["notifications_sent"] is True
    assert sorted(host.to) == ["developer@datasets.example", "kita@users.example"]
    for name in ("manager", "operator"):
        with world.acting_as(name):
            sign(approved.pk)
    assert world.fresh(approved).state == "final_check_completed"
    assert [row.facts["notifications_sent"] for row in FinalCheck.objects.all()] == [True, True]


def test_a_failed_delivery_blocks_the_final_check_until_two_people_waive_it(
    world: Any, approved: Any, host: MailHost
) -> None:
    make_notifications()
    _let_out(world)
    deliver()
    row = NotificationDelivery.objects.get(inbox_item__name="kita@users.example")
    alter(row, outcome="failed", last_error="554 no such user")
    found = announcement_of(approved, world.environments["production"])
    assert found.result is False and "1 of 2 deliveries" in found.why
    assert [(one.sent, one.failed, one.waiting) for one in found.groups] == [(1, 0, 0), (0, 1, 0)]
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="have failed"):
        sign(approved.pk)
    with (
        pytest.raises(InvalidInput, match="for the protected environment that the release goes to"),
        world.acting_as("manager"),
    ):
        from datetime import UTC, datetime, timedelta

        from releases.operations.waiver.request import request_waiver

        request_waiver(
            approved.pk,
            environment_id=world.environments["staging"].pk,
            gate="final_check:notifications_sent",
            until=datetime.now(UTC) + timedelta(hours=1),
            reason="x",
        )
    waiver = waiver_requested(world, approved, "final_check:notifications_sent")
    assert facts_now(approved)["notifications_sent"] is False, "a proposal is no waiver"
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    facts = facts_now(approved)
    assert facts["notifications_sent"] == "waived" and facts["digest_unchanged"] is True
    with world.acting_as("manager"):
        sign(approved.pk)
    with world.acting_as("operator"):
        sign(approved.pk)
    assert world.fresh(approved).state == "final_check_completed"
    assert FollowUp.objects.get(key="waiver").about and world.fresh(waiver).follow_up is not None


def test_an_announcement_without_recipients_is_not_measured_and_says_so(world: Any, browsers: Any) -> None:
    only(*RULES)
    row = world.approved()[0]
    make_notifications()
    assert facts_now(row)["notifications_sent"] == "not_measured"
    page = browsers("manager").get(reverse("release", args=[row.pk])).content.decode()
    assert "No recipient matched the notification rules when the release was approved." in page


def test_the_page_shows_who_was_notified_group_by_group(world: Any, approved: Any, browsers: Any) -> None:
    make_notifications()
    page = browsers("manager").get(reverse("release", args=[approved.pk])).content.decode()
    table = page[page.index('id="final"') : page.index('id="deployments"')]
    assert "Users" in table and "Development team" in table and "Open the announcement" in table
    form = (
        browsers("manager")
        .get(reverse("operation", args=["release", "sign_final_check", approved.pk]))
        .content.decode()
    )
    assert "sent 0, failed 0, pending 1" in form
