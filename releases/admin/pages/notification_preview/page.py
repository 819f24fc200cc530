"""The inbox, and the preview of an event's notifications: with real values, before anything happens."""

import uuid
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, gettext as _

from audit.clock import now
from audit.models import Outbox
from audit.operation import label
from environments.admin.rights import page, rights_of, shown_to
from environments.language import language
from releases.admin.components.formatting import show
from releases.admin.pages.notification_preview.example import example_of
from releases.models import InboxItem, Notification, NotificationDelivery, Release
from releases.notifications.templates import notes
from releases.notifications.templates.events import EVENTS, KEYS
from releases.notifications.templates.html import html_of
from releases.queries.notification_plan import planned, unusable
from releases.queries.release_facts import facts_of

PAGE = 30


def said_of(delivery: NotificationDelivery) -> str:
    """Return the answer of a delivery, or its last error in the reader's language; a dash while there is neither."""
    if delivery.outcome == NotificationDelivery.Outcome.SENT and delivery.channel.channel_type == "admin":
        return _("The notification is in the inbox.")
    if delivery.outcome == NotificationDelivery.Outcome.SENT and delivery.channel.channel_type == "mail":
        return _("The mail server accepted the mail.") + (delivery.response and f" ({delivery.response})")
    known: str = delivery.response or delivery.last_error
    return gettext(known) if known else "—"


def notifications_of(release: Release, zone: str) -> dict[str, Any]:
    """Return the status text in both languages, and a release's notifications with the number of sent deliveries."""
    failed, sent = (Q(inbox_items__deliveries__outcome=outcome) for outcome in ("failed", "sent"))
    notifications = (
        Notification.objects.filter(release=release)
        .annotate(
            all=Count("inbox_items__deliveries"),
            failed=Count("inbox_items__deliveries", filter=failed),
            sent=Count("inbox_items__deliveries", filter=sent),
        )
        .order_by("-pk")[:30]
    )
    names = (("ja", _("Japanese")), ("en", _("English")))
    status = [(name, code, notes.status(facts_of(release, code, zone), code)) for code, name in names]
    return {"notifications": notifications, "status": sorted(status, key=lambda row: row[1] != language())}


@page
def preview(request: HttpRequest) -> HttpResponse:
    """Show which notifications an event would create for a release: texts, recipients, channels, delays."""
    event = request.GET.get("event", "")
    chosen = request.GET.get("release", "")
    there = Release.objects.exclude(state="imported").select_related("application")
    releases = list(shown_to(request, there).order_by("-pk")[:50])
    release = next((one for one in releases if str(one.pk) == chosen), None)
    plan, missing = None, ""
    if event in KEYS and release is not None:
        found = example_of(event, release, rights_of(request).applications)
        if found is not None:
            entry = Outbox(
                operation_id=uuid.uuid4(), event=event, object=label(found.row), payload=found.payload, created_at=now()
            )
            plan = planned(entry, though_done=True)
        if plan is None:
            missing = _("This release has nothing to report for this event.")
    texts, people, html = [], [], ""
    if plan is not None:
        names = {"ja": _("Japanese"), "en": _("English")}
        codes = sorted(plan.texts, key=lambda code: code != language())
        texts = [(names[code], code, plan.texts[code]) for code in codes]
        people = [
            (one, [(way, unusable(way, one.address)) for way in one.channels.values()]) for one in plan.recipients
        ]
        words = plan.texts[codes[0]]
        html = html_of(words["subject"], words["body"], settings.BASE_URL, codes[0])
    return show(
        request,
        "pages/notification_preview/notification_preview.html",
        _("Preview"),
        events=EVENTS,
        releases=releases,
        event=event,
        release=release,
        plan=plan,
        texts=texts,
        missing=missing,
        people=people,
        html=html,
    )


@page
def inbox(request: HttpRequest) -> HttpResponse:
    """Show the reader's own inbox items, newest first."""
    mine = InboxItem.objects.filter(
        account=request.user.pk, deliveries__channel__channel_type="admin", deliveries__outcome="sent"
    ).select_related("notification__release__application")
    only_unread = request.GET.get("unread") == "1"
    rows = mine.filter(read_at=None) if only_unread else mine
    shown = Paginator(rows.order_by("-pk"), PAGE).get_page(request.GET.get("page"))
    return show(
        request,
        "pages/notification_preview/inbox.html",
        _("Inbox"),
        rows=shown,
        unread=mine.filter(read_at=None).count(),
        only_unread=only_unread,
        may_act=not rights_of(request).may("audit"),
    )
