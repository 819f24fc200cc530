"""The timeline of everything that happened, newest first, with filters; how auditors read the ledger."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from audit.history import timeline as read
from audit.models import Event, Head
from environments.admin.rights import page
from environments.models import Account
from releases.admin.happened import act_name, happening
from releases.admin.shown import show
from releases.admin.verbs import VERBS

PAGE = 50
FILTERS = ("account", "actor", "action", "object", "outcome", "kind", "words")


def _asked(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET.get(name, "").strip()[:200].replace("\x00", "") for name in FILTERS}


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 else None


@page
def timeline(request: HttpRequest) -> HttpResponse:
    """Show fifty events before the number `before`."""
    asked = _asked(request)
    model, _colon, pk = asked["object"].partition(":")
    events = read(
        account_id=_number(asked["account"]),
        actor=asked["actor"],
        action=asked["action"],
        object_label=asked["object"] if pk else "",
        model="" if pk else model,
        outcome=asked["outcome"],
        kind=asked["kind"],
        words=asked["words"],
        limit=PAGE + 1,
        before_number=_number(request.GET.get("before", "")),
    )
    rows = [happening(event) for event in events[:PAGE]]
    kept = {name: value for name, value in asked.items() if value}
    older = ""
    if len(events) > PAGE and rows[-1].number is not None:
        older = "?" + urlencode({**kept, "before": str(rows[-1].number)})
    actions: list[tuple[str, Any]] = sorted({(verb.key, act_name(verb.key)) for verb in VERBS}, key=lambda a: a[1])
    return show(
        request,
        "ringi/timeline.html",
        _("Timeline"),
        happenings=rows,
        asked=asked,
        kept=kept,
        older=older,
        accounts=Account.objects.order_by("display_name")[:500],
        actions=actions,
        kinds=Event.Kind.choices,
        head=Head.objects.first(),
    )
