"""Pages that live: what each shows, signed for its reader, so that a change of it can be told to the page."""

import hashlib
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core import signing
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, JsonResponse

from audit.changes import ANYTHING, newest
from audit.operation import label
from environments.admin.rights import page
from environments.models import Account
from releases.models import EmergencyStop

SALT = "ringi.live"
# Longer than a person leaves a page open for; then the page says that it is no longer up to date.
LONGEST_SECONDS = 86400
MOST = 150
# Milliseconds between two looks at least, of a page about a few rows and of one about all.
OFTEN, SELDOM = 500, 5000
EVERYWHERE = (EmergencyStop._meta.label,)


def updates(account: Any, *rows: Model | str | None, every: int = 0) -> dict[str, Any]:
    """Return how a page is told of changes of the rows that it shows, or of ANYTHING. every: seconds after which it
    looks in any case, for what has no event of its own; 0: never.
    """
    names = (row if isinstance(row, str) else label(row) for row in rows if row is not None)
    named = list(dict.fromkeys([*EVERYWHERE, *names]))[:MOST]
    token = signing.dumps([account.pk, time.time(), named], salt=SALT, compress=True)
    digest = hashlib.sha256(" ".join(named).encode()).hexdigest()[:12]
    pause = SELDOM if ANYTHING in named else OFTEN
    return {"of": token, "rows": digest, "stream": settings.LIVE_URL, "every": every, "pause": pause}


@dataclass(frozen=True)
class Shown:
    """What a page shows: to which account, its rows as events name them, and when it was made (seconds since 1970)."""

    account: int
    made: float
    labels: frozenset[str]


def shown_by(token: str, account: Account) -> Shown:
    """Return what the page of a token shows, for the account that it was made for. Raises signing.BadSignature."""
    reader, made, labels = signing.loads(token, salt=SALT, max_age=LONGEST_SECONDS)
    if reader != account.pk:
        raise signing.BadSignature("made for another account")
    return Shown(account.pk, float(made), frozenset(labels))


@page
def changed(request: HttpRequest) -> HttpResponse:
    """Answer a text that differs once something on the page has changed: for pages without a stream."""
    assert isinstance(request.user, Account)
    try:
        labels = shown_by(request.GET.get("of", ""), request.user).labels
    except signing.BadSignature:
        return JsonResponse({}, status=410)
    return JsonResponse({"newest": newest(labels)})
