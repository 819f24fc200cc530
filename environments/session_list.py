"""The sessions of one's own account: where one is signed in, and ending those that are left open."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from audit.clock import now
from audit.operation import record_event
from environments.models import Account
from environments.sessions import last_used

# What a session keeps of the device that signed in.
DEVICE = "ringi_device"
BROWSERS = {"Edge": "Edg/", "Firefox": "Firefox/", "Chrome": "Chrome/", "Safari": "Safari/"}
SYSTEMS = {"iPhone": "iPhone", "iPad": "iPad", "Android": "Android", "Windows": "Windows", "macOS": "Mac OS X"}
LONGEST_AGENT = 200


@dataclass(frozen=True)
class OpenSession:
    """number: what names it on the page, from which its key cannot be told. own: the one of this request."""

    number: str
    device: str
    address: str
    since: datetime | None
    used: datetime
    own: bool
    key: str


def device_of(request: HttpRequest) -> dict[str, Any]:
    """Return what a session keeps of a sign-in."""
    agent = request.META.get("HTTP_USER_AGENT", "")[:LONGEST_AGENT]
    return {"agent": agent, "address": request.META.get("REMOTE_ADDR", ""), "at": datetime.now(UTC).timestamp()}


def in_words(agent: str) -> str:
    """Return a browser and its system by the header User-Agent, such as “Firefox · Windows”."""
    found = [next((name for name, mark in marks.items() if mark in agent), "") for marks in (BROWSERS, SYSTEMS)]
    if not found[1] and re.search(r"\bLinux\b", agent):
        found[1] = "Linux"
    return " · ".join(filter(None, found)) or _("unknown device")


def kept_of(account: Account) -> Iterator[tuple[Session, dict[str, Any]]]:
    """Return the sessions of an account that have not ended, each with its contents; the one used last is first."""
    for row in Session.objects.filter(expire_date__gt=now()).order_by("-expire_date").iterator():
        kept = row.get_decoded()
        if kept.get(SESSION_KEY) == str(account.pk):
            yield row, kept


def sessions_of(account: Account, own: str | None) -> Iterator[OpenSession]:
    """Return the sessions in which an account is signed in; a change of the password has ended those of before.

    own: the key of the present one.
    """
    for row, kept in kept_of(account):
        if kept.get(HASH_SESSION_KEY) == account.get_session_auth_hash():
            device = kept.get(DEVICE) or {}
            yield OpenSession(
                number=sha256(row.pk.encode()).hexdigest()[:16],
                device=in_words(device.get("agent", "")),
                address=device.get("address", ""),
                since=datetime.fromtimestamp(device["at"], UTC) if device else None,
                used=last_used(row.expire_date),
                own=row.pk == own,
                key=row.pk,
            )


@require_http_methods(["GET", "POST"])
def sessions(request: HttpRequest) -> HttpResponse:
    """Show one's own sessions; POST ends one (`end`: its number) or all others."""
    account = request.user
    assert isinstance(account, Account)
    found = list(sessions_of(account, request.session.session_key))
    if request.method == "GET":
        return render(request, "account/sessions.html", {"sessions": found})
    asked = request.POST.get("end", "")
    ending = [one for one in found if not one.own and asked in ("", one.number)]
    for one in ending:
        Session.objects.filter(pk=one.key).delete()
        record_event("session:end", object=f"environments.Account:{account.pk}", device=one.device, address=one.address)
    messages.success(request, _("Ended: %(n)d sessions.") % {"n": len(ending)})
    return redirect("sessions")
