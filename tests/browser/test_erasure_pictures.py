"""Pictures of the erasure of a recipient without an account, in each look, under var/test/pictures/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.clock import now
from releases.models import GroupRecipient, InboxItem, RecipientGroup
from releases.operations.erasure import erase
from tests.browser.person import Person
from tests.browser.test_pictures import LOOKS, PICTURES
from tests.releases.gates.asking import make
from tests.releases.operations.notifying import announced


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_of_an_erasure_are_sound(look: str, world: Any, person: Callable[..., Person]) -> None:
    """No error in the console, nothing reaches over the screen, and the erased name is nowhere."""
    folder = PICTURES / "erasure" / look
    folder.mkdir(parents=True, exist_ok=True)
    group = RecipientGroup.objects.get(key="users")
    given = {"group": group, "name": "佐藤 都", "address": "miyako.sato@outside.example"}
    recipient = make(GroupRecipient, **given, removed_at=now())
    announced(world.planned("1.4.0"), recipient)
    first, second = person("administrator", **LOOKS[look]), person("second_administrator", **LOOKS[look])
    wrong = []

    def picture(name: str, address: str, who: Person) -> None:
        assert who.go(address).status == 200, name
        if over := who.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        who.page.screenshot(path=folder / f"{name}.png", full_page=True)

    page = reverse("admin:releases_recipientgroup_change", args=[group.pk])
    picture("group", page, first)
    picture("request", reverse("operation", args=["erasure", "request_recipient", recipient.pk]), first)
    with world.acting_as("administrator"):
        erase.request_recipient_erasure(recipient.pk, reason="依頼による")
    picture("tasks", reverse("admin:index"), second)
    picture("confirm", reverse("operation", args=["erasure", "confirm_recipient", recipient.pk]), second)
    with world.acting_as("second_administrator"):
        erase.confirm_recipient_erasure(recipient.pk)
    item = InboxItem.objects.get(group_recipient=recipient)
    picture("after", page, second)
    picture("notification", reverse("admin:releases_notification_change", args=[item.notification_id]), second)
    assert "佐藤 都" not in second.page.content() and "miyako" not in second.page.content()
    wrong += [f"console: {heard}" for who in (first, second) for heard in who.complaints]
    assert not wrong, "\n".join(wrong)
