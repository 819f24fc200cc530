"""Pictures of the pages about notifications in each look, under var/test/pictures/messages/; and one approved by
clicking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.urls import reverse

from audit.clock import now
from releases.models import (
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationTemplate,
    RecipientGroup,
    SuppressedAddress,
)
from tests.browser.person import Person
from tests.browser.test_pictures import LOOKS, PICTURES
from tests.browser.walk import latin_words
from tests.releases.channel_types.receivers import mail_host, use_mail
from tests.releases.gates.asking import alter, make
from tests.releases.operations.notifying import announced, deliver, forget, join, make_notifications, outsider

LISTS = (
    "notification",
    "notificationdelivery",
    "recipientgroup",
    "notificationrule",
    "notificationtemplate",
    "notificationchannel",
    "suppressedaddress",
)


@pytest.fixture
def cancelled(seeded: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]) -> Notification:
    """The notification of a cancelled release: sent inside by mail and inbox, one mailbox gone, and held back for
    outside.
    """
    from releases.operations.release.prepare import cancel

    for group in RecipientGroup.objects.all():
        alter(group, quiet_from="00:00", quiet_until="00:00")
    for name, group in (("developer", "development_team"), ("operator", "operations_team"), ("tester", "support_team")):
        join(group, people[name], f"{name}@datasets.example")
    announced(
        seeded["draft"],
        outsider("users", "kita@users.example"),
        outsider("users", "minami@users.example", "en"),
        outsider("partners", "higashi@partners.example"),
    )
    forget()
    with acting_as("manager"):
        cancel(seeded["draft"].pk, reason="利用部門の都合により日程を見直すため")
    notification = next(one for one in make_notifications() if one.event == "release:cancel")
    with mail_host() as host, pytest.MonkeyPatch.context() as patch:
        for name in ("MAIL_HOST", "MAILERS", "DEFAULT_FROM_EMAIL"):
            patch.setattr(settings, name, getattr(settings, name))
        use_mail(settings, host)
        host.refuses = {"tester@datasets.example": "550 5.1.1 unknown"}
        deliver()
    mail = NotificationChannel.objects.get(key="mail")
    make(SuppressedAddress, address="old@datasets.example", reason="550 5.1.1 unknown", since=now(), channel=mail)
    alter(
        mail,
        failures=4,
        last_failure="554 5.7.1 relay access denied",
        next_send_at=now(),
        unavailable_since=now(),
        unavailable_because="554 5.7.1 relay access denied",
    )
    return notification


@pytest.mark.timeout(900)
def test_the_pages_are_sound_in_each_look(cancelled: Notification, person: Callable[..., Person]) -> None:
    """No error in the console, nothing reaches over the screen, and Japanese is Japanese."""
    delivery = NotificationDelivery.objects.filter(outcome="sent").exclude(address="").first()
    group, text = RecipientGroup.objects.get(key="users"), NotificationTemplate.objects.get(event="release:announce")
    slack = NotificationChannel.objects.get(key="slack")
    change = {
        "message": cancelled,
        "message-delivery": delivery,
        "message-group": group,
        "message-text": text,
        "message-text-back": NotificationTemplate.objects.get(event="rollback:authorise"),
        "message-channel": slack,
        "message-channel-faulty": NotificationChannel.objects.get(key="mail"),
    }
    shown = {
        **{f"list-{name}": reverse(f"admin:releases_{name}_changelist") for name in LISTS},
        **{
            name: reverse(f"admin:releases_{row._meta.model_name}_change", args=[row.pk])
            for name, row in change.items()
        },
        "message-preview": reverse("notification-preview") + f"?event=release:announce&release={cancelled.release_id}",
        "release-messages": reverse("release", args=[cancelled.release_id]) + "#notifications",
        "verb-write-text": reverse("operation", args=["notification_template", "edit", text.pk]),
        "verb-rule": reverse("operation-new", args=["notification_rule", "add"]),
        "verb-add-outside": reverse("operation", args=["recipient", "add_without_account", group.pk]),
        "verb-set-address": reverse("operation", args=["notification_channel", "set_address", slack.pk]),
    }
    own = {"inbox": reverse("inbox"), "verb-own": reverse("operation-new", args=["account", "edit_own"])}
    # The person who caused a notification does not approve it.
    second = {"verb-release-message": reverse("operation", args=["notification", "approve_external", cancelled.pk])}
    wrong: list[str] = []
    for look, options in LOOKS.items():
        folder = PICTURES / "messages" / look
        folder.mkdir(parents=True, exist_ok=True)
        for who, addresses in (("manager", shown), ("developer", own), ("project_manager", second)):
            reader = person(who, **options)
            for name, address in addresses.items():
                if (status := reader.go(address).status) != 200:
                    wrong.append(f"{look} {name}: {status}")
                if over := reader.wider_than_the_screen:
                    wrong.append(f"{look} {name}: wider than the screen: {over}")
                # People's own words and addresses are shown as they are.
                if look == "ja-light" and (left := [text for text in latin_words(reader.page) if not _known(text)]):
                    wrong.append(f"{look} {name}: not translated: {left}")
                reader.page.screenshot(path=folder / f"{name}.png", full_page=True)
            wrong += [f"{look} console: {heard}" for heard in reader.complaints]
    assert not wrong, "\n".join(wrong)


def test_a_notification_is_opened_in_the_inbox_and_approved_for_outside_by_clicking(
    cancelled: Notification, person: Callable[..., Person]
) -> None:
    reader = person("developer", **LOOKS["ja-light"])
    reader.go("/admin/")
    reader.press('a[href="/admin/inbox/"]')
    reader.press('button[data-verb="inbox:mark_read"]')
    assert reader.path == cancelled.path
    releasing = person("project_manager", **LOOKS["ja-light"])
    releasing.go("/admin/")
    releasing.press(f'a[href="{reverse("admin:releases_notification_change", args=[cancelled.pk])}"]')
    releasing.choose("notification:approve_external")
    releasing.press("form.r-form button.main")
    assert releasing.clicks == 3 and not Notification.objects.get(pk=cancelled.pk).waits


def _known(text: str) -> bool:
    # Keys of groups and channels, and the name of the worker that sends.
    return text.rstrip("：") in ("users", "slack", "notifications", "mail") or any(
        word in text
        for word in (
            "@",
            "Slack",
            "Webhook",
            "https",
            "whsec_",
            "{{",
            "550",
            "554",
            "Apprise",
            "Datasets",
            "[Cancelled]",
            "This version will not be released.",
        )
    )
