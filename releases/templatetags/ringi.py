"""Tags and filters of the admin's templates: times, tones, and the buttons of a row.

unfold.admin loads every tag library during its own import, so the admin's modules are imported on use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import template
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.db.models import Model
from django.http import HttpRequest
from django.template.defaultfilters import stringfilter
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _

from environments import times
from environments.language import language, listed, noted
from environments.models import ExternalIdentity
from environments.single_sign_on import configured
from environments.targets.words import in_words

if TYPE_CHECKING:
    from releases.admin.components.change_history import Difference, History
    from releases.admin.components.formatting import Button

register = template.Library()
SELECTED = mark_safe(" selected")
# So many buttons beside those that come next are read at one look.
FOLDED = 4


def _shown() -> Any:
    from releases.admin.components import formatting

    return formatting


@register.filter
def when(at: Any, zone: str = "") -> str:
    """Return a time with its zone; other values as they are."""
    return _shown().stamp(at, zone) if isinstance(at, datetime) or at is None else str(at)


@register.filter
def day(at: Any, zone: str = "") -> str:
    """Return the day of a time, as a stamp shows it; empty for none."""
    return _shown().day(at, zone)


@register.filter
def clock(at: Any, zone: str = "") -> str:
    """Return a time of the day with its zone."""
    return _shown().clock(at, zone)


@register.filter
def span(seconds: Any) -> str:
    """Return a length of time in words."""
    return _shown().span(seconds)


@register.filter
def finding_word(key: Any) -> str:
    """Return the result of a look at the installation."""
    return str(_shown().finding_word(key))


@register.filter
def timer(seconds: float) -> str:
    """Return a length of time as a clock that runs."""
    return str(_shown().timer(seconds))


@register.filter
def tone(state: Any) -> str:
    """Return the tone of a state."""
    return _shown().tone(state)


@register.filter
def cell(value: Any) -> Any:
    """Return a field's value as a detail page shows it."""
    if isinstance(value, datetime):
        return _shown().stamp(value)
    return "—" if value in (None, "") else value


@register.filter
def of(values: Any, key: str) -> Any:
    """Return the value under a key."""
    return values.get(key)


@register.filter
def evidence_type(kind: str) -> str:
    """Return the label of a type of evidence."""
    from releases.evidence_readers import LABELS

    return str(LABELS.get(kind, kind))


@register.filter
def short(digest: Any) -> str:
    """Return the first twelve characters of a digest or a commit; a dash for none."""
    return str(digest)[:12] if digest else "—"


@register.inclusion_tag("components/buttons.html", takes_context=True)
def verbs(context: dict[str, Any], row: Model, main: str = "", *, fold: bool = False) -> dict[str, list[Button]]:
    """Show the verbs that the reader may use on a row; `main`: keys, space separated, shown first.

    fold: more than FOLDED others stand behind a summary.
    """
    found = _shown().buttons(_shown().rights_of(context["request"]), row, main=main.split())
    now = [b for b in found if not b.reason]
    others = [b for b in now if b.key not in main.split()]
    more = others if fold and len(others) > FOLDED else []
    return {"now": [b for b in now if b not in more], "more": more, "later": [b for b in found if b.reason]}


@register.inclusion_tag("components/buttons.html", takes_context=True)
def these_verbs(context: dict[str, Any], row: Model, keys: str) -> dict[str, list[Button]]:
    """Show only these of the verbs (keys, space separated) that the reader may use on a row."""
    shown = verbs(context, row)
    return {place: [b for b in found if b.key in keys.split()] for place, found in shown.items()}


@register.inclusion_tag("components/buttons.html", takes_context=True)
def new_verb(context: dict[str, Any], opts: Any) -> dict[str, list[Button]]:
    """Show the verb that creates a row of the model with these options (the template would call a class)."""
    return {"now": _shown().new_button(_shown().rights_of(context["request"]), opts.model), "later": []}


@register.simple_tag(takes_context=True)
def process_templates(context: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return (name, label) of the templates of a deployment process; none for a reader who cannot create one."""
    from releases.admin.pages.deployment_process.page import LABELS

    return list(LABELS.items()) if _shown().rights_of(context["request"]).may("create_process") else []


@register.simple_tag
def followed_procedure(application: Any) -> Any:
    """Return the version in effect of the procedure that an application follows, or None."""
    from releases.models import Procedure

    return Procedure.objects.of(application)


@register.filter
def pretty(value: Any) -> str:
    """Return a value of a JSON document as text: as it is when it is one, else indented JSON."""
    if isinstance(value, str):
        return in_words(value)
    return json.dumps(_in_words(value), ensure_ascii=False, indent=2)


def _in_words(value: Any) -> Any:
    """Return a JSON value with its stored texts in the reader's language."""
    if isinstance(value, dict):
        return {key: _in_words(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_words(inner) for inner in value]
    return in_words(value) if isinstance(value, str) else value


@register.filter
def stored_text(value: Any) -> str:
    """Return a stored text in the reader's language."""
    return in_words(value)


@register.filter
def unlocalized(value: Any) -> str:
    """Return a number without the reader's separators, for attributes and identifiers."""
    return str(value)


@register.simple_tag
def options(choices: Iterable[tuple[Any, Any]], chosen: Any) -> str:
    """Show (value, words) as the options of a select, faster than a loop of the template."""
    return format_html_join(
        "\n",
        '<option value="{}"{}>{}</option>',
        ((str(value), SELECTED if str(value) == str(chosen) else "", words) for value, words in choices),
    )


@register.simple_tag
def differences(found: Iterable[Difference]) -> str:
    """Show the differences as rows of a table, faster than a loop of the template."""
    row = '<tr><th scope="row"><span title="{}">{}</span></th><td><del>{}</del></td><td><ins>{}</ins></td></tr>'
    return format_html_join("", row, found)


@register.filter
def programs(target: Any) -> Any:
    """Return the part of a deployment target that its programs see, as a check shows it."""
    from pathlib import Path

    from environments.targets.base import TargetSpec
    from environments.targets.sandbox import described
    from releases.admin.operations.base import Shown

    return Shown("", *described(TargetSpec("", "", Path(target.root), target.options)))


@register.filter
def exactly(at: datetime) -> str:
    """Return a time of the ledger with its zone, to the millisecond."""
    return times.stamp(at, exact=True)


@register.inclusion_tag("components/happenings.html")
def history(row: Model) -> dict[str, History | str]:
    """Show the operations on one row, newest first."""
    from releases.admin.components.change_history import history_of

    return {"history": history_of([row]), "zone": ""}


@register.simple_tag
def words_of_events() -> dict[str, str]:
    """Return the labels of event fields, looked up once for a page; `happening.html` calls them `said`."""
    words = {"operation": _("operation"), "object": _("object"), "actor": _("actor"), "reason": _("reason")}
    return {**words, "number": _("number"), "before": _("before"), "after": _("after")}


@register.inclusion_tag("components/clauses.html", takes_context=True)
def approved_content(context: dict[str, Any], approval_request: Any, zone: str = "") -> dict[str, Any]:
    """Show the subject of an approval request."""
    from environments.admin.rights import rights_of
    from releases.admin.pages.approval_request.rows import clauses

    return {"clauses": clauses(approval_request, rights_of(context["request"]), zone)}


@register.simple_tag(takes_context=True)
def acts_to_sign(context: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return what waits for the proof of identity that a page asks for, in words, each with a line for each submitted
    value; none where it is for another page.
    """
    from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
    from django.contrib.auth import REDIRECT_FIELD_NAME

    request: HttpRequest = context["request"]
    waiting = request.session.get(STATE_SESSION_KEY) or {}
    asked = request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME)
    return waiting.get("acts", []) if waiting.get("path") == asked else []


@register.inclusion_tag("components/release_notifications.html")
def release_notifications(release: Any, zone: str = "") -> dict[str, Any]:
    """Show the status text of a release and its notifications."""
    from releases.admin.pages.notification_preview.page import notifications_of

    return {"release": release, "zone": zone, **notifications_of(release, zone)}


@register.filter
def said(delivery: Any) -> str:
    """Return the outcome of a delivery in the reader's language."""
    from releases.admin.pages.notification_preview.page import said_of

    return said_of(delivery)


@register.filter
def word(key: Any) -> str:
    """Return a stored key in the reader's language."""
    return _shown().word(key)


@register.filter
def result_word(key: Any) -> str:
    """Return the result of a check in the reader's language."""
    return _shown().result_word(key)


@register.filter
def words(keys: Any) -> str:
    """Return stored keys in the reader's language, with commas."""
    return listed(_shown().word(key) for key in keys)


@register.filter(name="listed")
def listed_words(items: Any) -> str:
    """Return the items as a list inside a sentence."""
    return listed(items)


register.filter("noted", noted)


@register.filter(is_safe=True)
@stringfilter
def colon(label: str) -> str:
    """Return a label with what stands before its value: a full-width colon in Japanese, for it has no blanks."""
    return label + ("：" if language() == "ja" else ": ")


@register.filter
def operation_name(operation: Any) -> str:
    """Return an operation in words."""
    from releases.admin.components import change_history

    return change_history.operation_name(str(operation))


@register.inclusion_tag("components/emergency_stop_banner.html", takes_context=True)
def stop_banner(context: dict[str, Any]) -> dict[str, Any]:
    """Show on every page that production is stopped, of all applications or of one, while it is."""
    from releases.admin.pages.emergency_stop.page import banner
    from releases.models import EmergencyStop

    request = context.get("request")
    stops = context["emergency_stops"] if "emergency_stops" in context else EmergencyStop.on()
    return {"stops": banner(stops), "linked": getattr(getattr(request, "user", None), "is_staff", False)}


@register.simple_tag(takes_context=True)
def single_sign_on(context: dict[str, Any]) -> dict[str, Any]:
    """Return for the reader: `name` of the identity provider, empty where none is set; `identity` there, or None;
    `password`: whether they have one here; `then`: the query of the address that they want after signing in.
    """
    request: HttpRequest = context["request"]
    wanted = request.GET.get(REDIRECT_FIELD_NAME) or request.POST.get(REDIRECT_FIELD_NAME)
    known, user = None, request.user
    if configured.offered() and user.is_authenticated:
        known = ExternalIdentity.objects.filter(account=user.pk, issuer=configured.issuer()).first()
    return {
        "name": configured.name() if configured.offered() else "",
        "identity": known,
        "password": user.is_authenticated and user.has_usable_password(),
        "then": f"?{urlencode({REDIRECT_FIELD_NAME: wanted})}" if wanted else "",
    }


@register.inclusion_tag("components/unresponsive_banner.html", takes_context=True)
def unresponsive_banner(context: dict[str, Any]) -> dict[str, Any]:
    """Show on every staff page what is unresponsive. The page asks, as an unresponsive process cannot report."""
    from releases.admin.pages.queue.page import unresponsive_lines

    staff = getattr(getattr(context.get("request"), "user", None), "is_staff", False)
    return {"unresponsive": unresponsive_lines() if staff else [], "linked": staff}


@register.simple_tag
def altered(*shown: Any) -> str:
    """Show in red which of the shown rows were altered after they were recorded."""
    from audit.cover import warning

    return format_html('<p class="r-error" role="alert">{}</p>', said) if (said := warning(*shown)) else ""


@register.inclusion_tag("components/term.html")
def term(key: str) -> dict[str, str]:
    """Offer the explanation of a term of the glossary, by its key."""
    from releases.glossary import terms

    found, here = terms()[key], language()
    return {"key": key, "name": found.name(here), "text": found.text(here)}


@register.filter
def cause(approval_request: Any) -> str:
    """Return why the approvals of a request no longer count; empty while they do."""
    from releases.admin.pages.approval_request.rows import ended_because

    return ended_because(approval_request)


@register.filter
def clause(key: Any) -> str:
    """Return the words of a key of the approved content."""
    from releases.gates.content import clause_labels

    return clause_labels().get(str(key)) or in_words(key)
