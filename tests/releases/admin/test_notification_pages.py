"""The notification pages: inbox with its count, texts with real values, previews, and external notifications."""

from __future__ import annotations

import html as entities
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.urls import resolve, reverse

import releases
from audit.actor import acting
from releases.models import (
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationTemplate,
    RecipientGroup,
    SuppressedAddress,
)
from releases.notifications.templates.events import EVENTS
from releases.queries.notification_values import PAGES
from tests.releases.gates.asking import make
from tests.releases.operations.notifying import announced, forget, join, make_notifications, only, outsider

TEMPLATES = Path(releases.__file__).parent
LISTS = (
    "notification",
    "notificationdelivery",
    "recipientgroup",
    "notificationchannel",
    "notificationrule",
    "notificationtemplate",
    "suppressedaddress",
)


@pytest.fixture
def cancelled(world: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]) -> Notification:
    """A release is cancelled: the developer reads it in the inbox, and external recipients by mail once approved."""
    from releases.operations.release.prepare import cancel

    only(("release:cancel", "development_team", "admin"), ("release:cancel", "users", "mail"))
    join("development_team", people["developer"])
    announced(world["draft"], outsider("users", "kita@users.example"))
    forget()
    with acting_as("manager"):
        cancel(world["draft"].pk, reason="計画変更")
    return next(one for one in make_notifications() if one.event == "release:cancel")


def text_of(answer: Any) -> str:
    """Return the text of a page."""
    return entities.unescape(answer.content.decode())


def addresses(notification: Notification) -> list[str]:
    """Return every page about notifications."""
    found = [reverse(f"admin:releases_{name}_changelist") for name in LISTS]
    for row in (
        notification,
        NotificationDelivery.objects.first(),
        RecipientGroup.objects.get(key="users"),
        NotificationTemplate.objects.first(),
        NotificationChannel.objects.first(),
    ):
        found.append(reverse(f"admin:releases_{row._meta.model_name}_change", args=[row.pk]))
    return [
        *found,
        reverse("inbox"),
        reverse("notification-preview"),
        reverse("release", args=[notification.release_id]),
    ]


def test_every_page_loads_for_every_permitted_reader_in_both_languages(
    cancelled: Notification, browsers: Callable[[str], Any]
) -> None:
    make(SuppressedAddress, address="gone@users.example", reason="550", since=cancelled.made_at)
    for name, language in (("manager", "ja"), ("auditor", "en"), ("developer", "ja")):
        client = browsers(name)
        client.cookies[settings.LANGUAGE_COOKIE_NAME] = language
        for address in addresses(cancelled):
            answer = client.get(address, headers={"accept-language": language})
            assert answer.status_code == 200, f"{name} {address}: {answer.status_code}"
    for address in addresses(cancelled):
        assert browsers("outsider").get(address).status_code in (302, 403, 404), address


def test_the_inbox_counts_opens_and_marks_items_as_read(
    cancelled: Notification, browsers: Callable[[str], Any]
) -> None:
    client = browsers("developer")
    page = text_of(client.get(reverse("inbox")))
    assert "1 unread notification" in page and cancelled.texts["ja"]["subject"] in page
    assert re.search(r'href="/admin/inbox/"[^<]*<.*?>\s*1\s*<', text_of(client.get("/admin/")), re.S), (
        "the sidebar counts"
    )
    message = InboxItem.objects.get(account__username="developer")
    answer = client.post(reverse("operation", args=["inbox", "mark_read", message.pk]))
    assert answer.status_code == 302 and answer["location"] == cancelled.path
    assert "Everything is read" in text_of(client.get(reverse("inbox")))
    assert cancelled.texts["ja"]["subject"] not in text_of(client.get(reverse("inbox") + "?unread=1"))
    assert browsers("operator").post(reverse("operation", args=["inbox", "mark_read", message.pk])).status_code == 403


def test_marking_all_as_read_leads_back_to_the_inbox(cancelled: Notification, browsers: Callable[[str], Any]) -> None:
    answer = browsers("developer").post(reverse("operation-new", args=["inbox", "mark_all_read"]))
    assert answer["location"] == reverse("inbox")


def test_an_inbox_is_visible_to_its_owner_only(cancelled: Notification, browsers: Callable[[str], Any]) -> None:
    assert cancelled.texts["ja"]["subject"] not in text_of(browsers("operator").get(reverse("inbox")))


def test_an_external_notification_is_read_signed_and_approved_on_one_page(
    cancelled: Notification, browsers: Callable[[str], Any]
) -> None:
    assert "Approve for external recipients" in text_of(browsers("project_manager").get("/admin/"))
    client = browsers("project_manager")
    page = text_of(client.get(page_of(cancelled)))
    assert "External stakeholders are not notified yet" in page and "kita@users.example" in page
    button = 'data-verb="notification:approve_external"'
    assert button in page, "who may release it"
    for name in ("manager", "operator"):
        assert button not in text_of(browsers(name).get(page_of(cancelled))), f"{name}: caused it, or has no right"
    address = reverse("operation", args=["notification", "approve_external", cancelled.pk])
    shown = text_of(client.get(address))
    assert cancelled.texts["ja"]["subject"] in shown and "kita@users.example" in shown
    digest = re.search(r'name="digest" value="([0-9a-f]{64})"', shown)[1]
    assert client.post(address, {"digest": digest}).status_code == 302
    assert not Notification.objects.get(pk=cancelled.pk).waits


def page_of(notification: Notification) -> str:
    """Return the page of a notification."""
    return reverse("admin:releases_notification_change", args=[notification.pk])


def test_a_text_is_previewed_with_real_values_before_it_is_saved(
    cancelled: Notification, browsers: Callable[[str], Any]
) -> None:
    row = NotificationTemplate.objects.get(event="release:announce")
    client, address = browsers("manager"), reverse("operation", args=["notification_template", "edit", row.pk])
    form = text_of(client.get(address))
    assert "【リリース予定】" in form and "{{ version }}" in form
    given = {
        "subject_ja": "{{ application }} {{ version }}のお知らせ",
        "body_ja": "{{ change_entries }}",
        "subject_en": "",
        "body_en": "",
    }
    preview = text_of(client.post(address, given))
    assert (
        "Nothing has been saved yet" in preview
        and "のお知らせ" in preview
        and "- タグでデータセットを絞り込める" in preview
    )
    assert NotificationTemplate.objects.get(pk=row.pk).version == 0
    confirmed = re.search(r'name="confirmed" value="([0-9a-f]+)"', preview)[1]
    assert client.post(address, given | {"confirmed": confirmed}).status_code == 302
    kept = NotificationTemplate.objects.get(pk=row.pk)
    assert (kept.version, kept.subject_ja, kept.subject_en) == (1, given["subject_ja"], "")
    wrong = client.post(address, given | {"body_ja": "{{ password }}"})
    assert wrong.status_code == 400 and "password" in text_of(wrong)


def test_an_unchanged_default_template_follows_the_default(
    cancelled: Notification, browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    from releases.operations.notification_template.edit import edit

    row = NotificationTemplate.objects.get(event="release:announce")
    form = browsers("manager").get(reverse("operation", args=["notification_template", "edit", row.pk])).context["form"]
    with acting_as("manager"):
        edit(row.pk, **{name: form.fields[name].initial for name in ("subject_ja", "body_ja", "subject_en", "body_en")})
    kept = NotificationTemplate.objects.get(pk=row.pk)
    assert not any((kept.subject_ja, kept.body_ja, kept.subject_en, kept.body_en))


def test_every_event_can_be_previewed_before_it_happens(
    cancelled: Notification, world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    client, shown = browsers("manager"), set()
    for event in EVENTS:
        for release in (world["released"], world["review"]):
            answer = client.get(reverse("notification-preview"), {"event": event.key, "release": release.pk})
            assert answer.status_code == 200, event.key
            plan = answer.context["plan"]
            if plan is not None:
                assert plan.texts["ja"]["subject"] and "{{" not in str(plan.texts)
                shown.add(event.key)
    assert len(shown) > len(EVENTS) / 2, shown
    assert Notification.objects.count() <= 2 and not NotificationDelivery.objects.filter(tries__gt=0).exists(), (
        "nothing is sent"
    )


def test_the_release_page_shows_sent_notifications_and_user_texts(
    cancelled: Notification, browsers: Callable[[str], Any]
) -> None:
    page = text_of(browsers("manager").get(reverse("release", args=[cancelled.release_id])))
    assert "Status text for users" in page and "has been cancelled" in page and "1 of 2 sent" in page


def test_channel_addresses_and_secrets_are_on_no_page(
    cancelled: Notification,
    browsers: Callable[[str], Any],
    acting_as: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from releases.operations.notification_channel.change import set_address

    monkeypatch.setattr(settings, "NOTIFICATION_NETWORKS", ["127.0.0.0/8"])
    slack = NotificationChannel.objects.get(key="slack")
    with acting_as("manager"):
        set_address(slack.pk, url="http://127.0.0.1:9/services/hidden-key", language="ja", reason="初期設定")
    client = browsers("manager")
    pages = [
        reverse("admin:releases_notificationchannel_change", args=[slack.pk]),
        reverse("timeline"),
        reverse("admin:releases_notificationchannel_changelist"),
        reverse("operation", args=["notification_channel", "set_address", slack.pk]),
        reverse("as-of") + f"?object=releases.NotificationChannel:{slack.pk}",
    ]
    for address in pages:
        page = text_of(client.get(address))
        assert "hidden-key" not in page and slack.encrypted.get("url", "x" * 9) not in page, address


def test_every_page_linked_from_a_notification_exists() -> None:
    templates = "".join(file.read_text(encoding="utf-8") for file in TEMPLATES.rglob("*.html"))
    for _model, path, _column in PAGES:
        page, _hash, part = path.format(7).partition("#")
        assert resolve(page).url_name and (not part or f'id="{part}"' in templates), path


def test_a_text_changed_in_one_language_only_is_marked_before_and_after(
    cancelled: Notification, browsers: Callable[[str], Any]
) -> None:
    row = NotificationTemplate.objects.get(event="release:announce")
    client, address = browsers("manager"), reverse("operation", args=["notification_template", "edit", row.pk])
    given = {"subject_ja": "予告", "body_ja": "予告", "subject_en": "", "body_en": ""}
    preview = text_of(client.post(address, given))
    assert "Only the Japanese text is changed" in preview
    confirmed = re.search(r'name="confirmed" value="([0-9a-f]+)"', preview)[1]
    assert client.post(address, given | {"confirmed": confirmed}).status_code == 302
    page = text_of(client.get(reverse("admin:releases_notificationtemplate_change", args=[row.pk])))
    assert "The Japanese text was written last" in page and "custom in Japanese, default in English" in page
    both = given | {"subject_ja": "予告です", "subject_en": "Notification", "body_en": "Notification"}
    preview = text_of(client.post(address, both))
    assert "text is changed; the" not in preview
    confirmed = re.search(r'name="confirmed" value="([0-9a-f]+)"', preview)[1]
    client.post(address, both | {"confirmed": confirmed})
    page = text_of(client.get(reverse("admin:releases_notificationtemplate_change", args=[row.pk])))
    assert "text was written last" not in page


def test_the_preview_shows_disabled_recipients_and_the_html_mail(
    cancelled: Notification, browsers: Callable[[str], Any]
) -> None:
    make(SuppressedAddress, address="kita@users.example", reason="550 5.1.1", since=cancelled.made_at)
    only(("release:announce", "users", "mail"))
    shown = {"event": "release:announce", "release": cancelled.release_id}
    page = text_of(browsers("manager").get(reverse("notification-preview"), shown))
    row = re.search(r"<tr>\s*<th scope=\"row\">kita@users\.example.*?</tr>", page, re.S)[0]
    assert "The address is suppressed." in row
    assert re.search(r'sandbox\s+title="As a mail in HTML"\s+srcdoc="<!doctype html>', page)


def test_an_approver_of_a_notification_sees_its_age_and_the_release_state(
    cancelled: Notification, browsers: Callable[[str], Any]
) -> None:
    page = text_of(
        browsers("project_manager").get(reverse("operation", args=["notification", "approve_external", cancelled.pk]))
    )
    assert "current state of the release" in page and "Cancelled" in page and "written" in page


def test_a_failing_channel_shows_the_reason_on_its_page(
    cancelled: Notification, browsers: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from releases.operations.notification_delivery.lane import fault
    from tests.releases.operations.notifying import WORKER

    mail = NotificationChannel.objects.get(key="mail")
    with acting(WORKER):
        for _try in range(3):
            fault(NotificationChannel.objects.get(pk=mail.pk), "554 5.7.1 relay access denied")
    client = browsers("manager")
    page = text_of(client.get(reverse("admin:releases_notificationchannel_change", args=[mail.pk])))
    assert "unavailable since" in page and "554 5.7.1 relay access denied" in page and "3 · " in page
    assert 'data-verb="notification_channel:enable"' in page
