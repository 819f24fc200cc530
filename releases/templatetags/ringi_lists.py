"""Tags of the lists of the admin: their rows and their saved views."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_list import result_headers
from django.utils.html import format_html

from releases.templatetags.ringi import cell, tone

register = template.Library()


@register.inclusion_tag("components/results.html")
def results(cl: Any) -> dict[str, Any]:
    """Show the rows of a list; unfold's own table sends four times as much for them."""
    rows = [(cl.url_for_result(row), [_shown_of(cl, row, name) for name in cl.list_display]) for row in cl.result_list]
    return {"heads": list(result_headers(cl)), "rows": rows}


def _shown_of(cl: Any, row: Any, name: str) -> Any:
    shown = cell(cl.model_admin.plain(row, name))
    return format_html('<span class="r-chip {}">{}</span>', tone(row.state), shown) if name == "state" else shown


@register.simple_tag(takes_context=True)
def several_at_once(context: dict[str, Any], cl: Any) -> list[tuple[str, str]]:
    """Return (label, address) of what a reader may do to several rows of a list."""
    from environments.admin.rights import rights_of
    from releases.admin.pages.several.page import offered_on, several_url

    request = context["request"]
    return [
        (str(verb.label), several_url(verb, request.GET.urlencode()))
        for verb in offered_on(rights_of(request), cl.model)
    ]


@register.inclusion_tag("components/views.html", takes_context=True)
def saved_views(context: dict[str, Any], cl: Any) -> dict[str, Any]:
    """Show the saved views of a list, and a form that keeps what it shows now."""
    from releases.admin.components.views import shown_views

    return {**shown_views(context["request"], cl.model_admin), "csrf_token": context.get("csrf_token")}
