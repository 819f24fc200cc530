"""Groups, members, rules and the inbox: a manager's changes, and the procedure's own rows."""

from __future__ import annotations

from datetime import time
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, NotPossible, SignatureRequired
from releases.models import (
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationRule,
    NotificationTemplate,
    RecipientGroup,
)
from releases.models.notification import unread
from releases.notifications.templates.events import EVENTS
from releases.operations.inbox.mark_read import read, read_all
from releases.operations.notification_rule.apply_procedure import apply_notification_settings
from releases.operations.notification_rule.change import add as add_rule, remove as withdraw_rule
from releases.operations.recipient.add import add, add_external, remove
from releases.operations.recipient_group.change import close, create, edit
from releases.procedures.load import default
from tests.releases.gates.asking import make


def group(key: str = "users") -> RecipientGroup:
    """Return a group of the procedure."""
    return RecipientGroup.objects.get(key=key)


def test_the_procedure_creates_groups_channels_rules_and_a_text_for_each_event(people: dict[str, Any]) -> None:
    assert {(g.key, g.side) for g in RecipientGroup.objects.all()} == {
        ("development_team", "internal"),
        ("operations_team", "internal"),
        ("support_team", "internal"),
        ("users", "external"),
        ("partners", "external"),
        ("vendors", "external"),
    }
    assert {c.channel_type for c in NotificationChannel.objects.all()} == {"mail", "slack", "admin"}
    assert {t.event for t in NotificationTemplate.objects.all()} == {e.key for e in EVENTS}
    assert NotificationRule.objects.filter(event="milestone:remind", group=None, channel__key="admin").exists()
    rooms = NotificationRule.objects.filter(channel__key="slack")
    assert rooms.exists() and not rooms.filter(group__side="external").exists(), "the room of the procedure is ours"


def test_another_procedure_removes_its_predecessors_rules_and_keeps_others(
    people: dict[str, Any], acting_as: Any
) -> None:
    from audit.operation import operation

    with acting_as("manager"):
        ours = add_rule(
            event="release:submit",
            group_id=group("vendors").pk,
            channel_id=NotificationChannel.objects.get(key="mail").pk,
        )
        add_external(group().pk, name="北", address="kita@users.example", language="ja", reason="窓口")
    kept = tuple(rule for rule in default().notification_rules if rule.event == "release:submit")
    content = default().model_copy(update={"notification_rules": kept})
    with acting_as("manager"), operation("test:lay_out"):
        apply_notification_settings(content)
    left = NotificationRule.objects.filter(removed_at=None)
    assert {row.event for row in left} == {"release:submit"} and ours in left and group().recipients.count() == 1
    with acting_as("manager"), operation("test:lay_out"):
        apply_notification_settings(default())
    assert NotificationRule.objects.filter(removed_at=None, event="release:announce").exists()
    count = NotificationRule.objects.filter(removed_at=None).count()
    with acting_as("manager"), operation("test:lay_out"):
        apply_notification_settings(default())
    assert NotificationRule.objects.filter(removed_at=None).count() == count, "twice is as once"


def test_only_a_release_manager_changes_recipients(people: dict[str, Any], acting_as: Any) -> None:
    for name in ("operator", "developer", "committee_a", "auditor", "administrator", "project_manager"):
        with acting_as(name):
            with pytest.raises(NotPermitted):
                create(key="x", label_ja="x", label_en="x", side="internal")
            with pytest.raises(NotPermitted):
                add(group().pk, account_id=people["operator"].pk)
            with pytest.raises(NotPermitted):
                add_external(group().pk, name="x", address="x@users.example", language="ja", reason="x")
    assert not group().recipients.exists()


def test_a_member_is_in_a_group_once_and_can_leave_it(people: dict[str, Any], acting_as: Any) -> None:
    with acting_as("manager"):
        one = add(group("support_team").pk, account_id=people["operator"].pk)
        with pytest.raises(InvalidInput, match="already"):
            add(group("support_team").pk, account_id=people["operator"].pk)
        with pytest.raises(InvalidInput, match="person"):
            add(group("support_team").pk, account_id=people["ci"].pk)
        remove(one.pk)
        with pytest.raises(NotPossible):
            remove(one.pk)
        assert add(group("support_team").pk, account_id=people["operator"].pk)


def test_an_external_recipient_is_added_with_a_signature_and_a_permitted_address(
    people: dict[str, Any], acting_as: Any, settings: Any
) -> None:
    settings.MAIL_DOMAINS = ["users.example"]
    given = {"name": "北", "language": "ja", "reason": "窓口"}
    with acting_as("manager", proved=False), pytest.raises(SignatureRequired):
        add_external(group().pk, address="kita@users.example", **given)
    with acting_as("manager"):
        for wrong in ("no address", "kita@elsewhere.example", "a@users.example\nBcc: b@users.example"):
            with pytest.raises(InvalidInput):
                add_external(group().pk, address=wrong, **given)
        add_external(group().pk, address="kita@users.example", **given)
        with pytest.raises(InvalidInput, match="already"):
            add_external(group().pk, address="KITA@users.example", **given)
    assert (
        Event.objects.filter(operation="recipient:add_without_account", kind="operation", outcome="done").count() == 1
    )


def test_a_group_stays_internal_or_external_and_can_be_removed(people: dict[str, Any], acting_as: Any) -> None:
    with acting_as("manager"):
        made = create(key="board", label_ja="経営層", label_en="Board", side="external")
        with pytest.raises(InvalidInput):
            create(key="board", label_ja="x", label_en="x", side="internal")
        with pytest.raises(InvalidInput, match="zone"):
            edit(made.pk, label_ja="x", label_en="x", quiet_from=time(1), quiet_until=time(2), zone="Mars/Olympus")
        edit(made.pk, label_ja="役員", label_en="Board", quiet_from=time(20), quiet_until=time(8), zone="Europe/Berlin")
        close(made.pk, reason="なくなった")
        with pytest.raises(NotPossible):
            add(made.pk, account_id=people["operator"].pk)
    row = RecipientGroup.objects.get(pk=made.pk)
    assert (row.side, row.quiet_from, row.label_ja) == ("external", time(20), "役員")


def test_a_rule_names_a_notified_event_and_counts_once(people: dict[str, Any], acting_as: Any) -> None:
    mail = NotificationChannel.objects.get(key="mail").pk
    with acting_as("manager"):
        for wrong in (
            {"event": "step:claim", "group_id": group().pk},
            {"event": "approval:mark_approved", "group_id": None},
            {"event": "approval:mark_approved", "group_id": group().pk, "lead_hours": 3},
            {"event": "notification:await_external_approval", "group_id": group().pk},
            {"event": "release:announce", "group_id": group().pk},
            {"event": "approval:mark_approved", "group_id": 999_999},
        ):
            with pytest.raises(InvalidInput):
                add_rule(channel_id=mail, **wrong)
        made = add_rule(event="approval:mark_approved", group_id=group("support_team").pk, channel_id=mail)
        withdraw_rule(made.pk, reason="不要")
        with pytest.raises(NotPossible):
            withdraw_rule(made.pk, reason="x")
        assert add_rule(event="approval:mark_approved", group_id=group("support_team").pk, channel_id=mail)


def test_the_inbox_counts_unread_items_and_nobody_reads_for_another(people: dict[str, Any], acting_as: Any) -> None:
    from releases.models import NotificationDelivery

    notification = make(
        Notification,
        event="approval:mark_approved",
        outbox=1,
        operation_id="00000000-0000-0000-0000-000000000001",
        object="x:1",
        texts={"ja": {"subject": "件名", "body": "本文"}, "en": {"subject": "s", "body": "b"}},
        path="/admin/",
        made_at="2026-12-01T00:00:00Z",
    )
    inbox = NotificationChannel.objects.get(key="admin")
    rows = []
    for name in ("operator", "operator2", "developer"):
        account = people.get(name, people["operator"])
        row = make(InboxItem, notification=notification, recipient=name, account=account, name=name, language="ja")
        make(NotificationDelivery, inbox_item=row, channel=inbox, outcome="sent")
        rows.append(row)
    assert (unread(people["operator"]), unread(people["developer"])) == (2, 1)
    with acting_as("developer"):
        with pytest.raises(NotPermitted):
            read(rows[0].pk)
        read(rows[2].pk)
    with acting_as("operator"):
        read_all()
    assert (unread(people["operator"]), unread(people["developer"])) == (0, 0)
