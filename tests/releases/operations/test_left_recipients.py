"""What waited to be sent goes to nobody who left meanwhile: the group, the role, or the approval rule."""

from __future__ import annotations

from typing import Any

import pytest

from audit.clock import now
from environments.models import AccessGrant
from releases.models import NotificationDelivery, RecipientGroup
from releases.operations.notification_delivery.send import LEFT
from releases.operations.recipient.add import remove
from releases.operations.release.prepare import cancel
from releases.queries.notification_plan import NO_ADDRESS
from tests.releases.channel_types.receivers import MailHost
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import deliver, forget, join, only
from tests.releases.operations.test_notified_people import COMMITTEE, awake, extra_window, mailed, notified


def test_only_those_who_can_still_act_get_what_waited_to_be_sent(world: Any, host: MailHost) -> None:
    only(("approval:request", None, "mail"))
    awake(world, *COMMITTEE)
    forget()
    extra_window(world)
    notified("approval:request")
    grants = AccessGrant.objects.in_effect().filter(account=world.people["committee_b"])
    alter(grants.get(), revoked_at=now())
    deliver()
    assert mailed(host) == COMMITTEE - {"committee_b"}
    row = NotificationDelivery.objects.get(inbox_item__account=world.people["committee_b"])
    assert (row.outcome, row.last_error) == ("cancelled", LEFT)


@pytest.mark.parametrize("remains", [False, True])
def test_a_person_who_was_removed_from_the_group_gets_nothing_that_waited(
    world: Any, host: MailHost, remains: bool
) -> None:
    release = world.planned()
    only(*[("release:cancel", group, "mail") for group in ("development_team", "operations_team")])
    for group in RecipientGroup.objects.all():
        alter(group, quiet_from="00:00", quiet_until="00:00")
    member = join("development_team", world.people["developer"], "developer@datasets.example")
    if remains:
        join("operations_team", world.people["developer"])
    forget()
    with world.acting_as("manager"):
        cancel(release.pk, reason="another plan")
    notified("release:cancel")
    with world.acting_as("manager"):
        remove(member.pk, reason="another team")
    deliver()
    assert mailed(host) == ({"developer"} if remains else set())


@pytest.mark.parametrize("present", ["new@datasets.example", ""])
def test_what_waited_goes_to_the_present_address_of_a_person(world: Any, host: MailHost, present: str) -> None:
    only(("approval:request", None, "mail"))
    awake(world, *COMMITTEE)
    forget()
    extra_window(world)
    notified("approval:request")
    person = world.people["committee_b"]
    row = NotificationDelivery.objects.get(inbox_item__account=person)
    alter(person, email=present)
    deliver()
    assert mailed(host) == COMMITTEE - {"committee_b"} | {"new"} - {"" if present else "new"}
    row.refresh_from_db()
    ended = ("sent", "") if present else ("failed", NO_ADDRESS)
    assert (row.address, row.outcome, row.last_error) == (present, *ended)
