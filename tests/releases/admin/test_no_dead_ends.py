"""No page of the product or of an installed package ends in an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from itertools import groupby
from typing import Any

import pytest
from django.contrib import admin
from django.urls import reverse

from audit.admin.sheet import cell
from environments.models import AccessGrant, Application
from releases.models import NotificationRule, Release
from tests.releases.gates.asking import alter, make


def _links(html: str) -> set[str]:
    """Return the links of a list's filters, of each parameter the first and the last: its values are read alike."""
    found = sorted({unescape(link) for link in re.findall(r'href="(\?[^"]+)"', html)})
    by_name = [list(links) for _name, links in groupby(found, key=lambda link: link.rpartition("=")[0])]
    return {link for links in by_name for link in (links[0], links[-1])}


def test_each_filter_link_of_a_list_loads(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    assert AccessGrant.objects.filter(environment=None).exists() and NotificationRule.objects.exists()
    client, broken, tried = browsers("administrator"), [], 0
    for model in list(admin.site._registry):
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for link in sorted(_links(client.get(address).content.decode())):
            tried += 1
            answer = client.get(address + link)
            if answer.status_code != 200:
                broken.append((address + link, answer.status_code))
    assert not broken and tried > 100


@pytest.mark.parametrize("method", ["get", "post"])
def test_djangos_own_pages_lead_on_or_do_not_exist(
    method: str, world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    client = browsers("administrator")
    client.raise_request_exception = False
    passwords = reverse("account_change_password")
    given = {"old_password": "a", "new_password1": "b", "new_password2": "c"} if method == "post" else {}
    ask = getattr(client, method)
    for address in ("/admin/password_change/", "/admin/password_change/done/"):
        answer = ask(address, given)
        assert (answer.status_code, answer.headers.get("Location")) == (302, passwords), address
    for address in ("/admin/r/1/1/", "/admin/r/99999/x/", "/admin/autocomplete/", "/admin/audit/", "/admin/none/"):
        assert ask(address, given).status_code < 500, address


def test_printed_sheets_load_at_every_stage_of_a_release(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("administrator")
    bare = alter(
        world["draft"], scheduled_start_at=None, scheduled_end_at=None, step_plan={}, tree="", commit="", number=None
    )
    nowhere = make(Application, slug="nowhere", name="Nowhere", repository="/nowhere")
    make(Release, application=nowhere, version="1.0.0", author=bare.author, title="half planned")
    for row in Release.objects.all():
        for name in ("approval-request-form", "contact-list"):
            assert client.get(reverse(name, args=[row.pk])).status_code == 200, (row, name)
        for place in ("development", "staging", "production"):
            assert client.get(reverse("runbook", args=[row.pk, place])).status_code in (200, 403), (row, place)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "＝", "＋", "－", "＠", "﹢", "−", "\t", "\r", "\n"])
def test_no_cell_of_a_table_is_a_formula(sign: str) -> None:
    assert cell(f"{sign}HYPERLINK(1)") == f"'{sign}HYPERLINK(1)"
    assert cell(f" {sign}=1") == f"' {sign}=1", "a spreadsheet that trims"
