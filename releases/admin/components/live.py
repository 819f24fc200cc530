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
from environments.admin.rights import Rights, page, rights_of
from environments.application_scope import applications_of
from releases.models import EmergencyStop

SALT = "ringi.live"
# Longer than a person leaves a page open for; then the page says that it is no longer up to date.
LONGEST_SECONDS = 86400
MOST = 150
# Milliseconds between two looks at least, of a page about a few rows and of one about all.
OFTEN, SELDOM = 500, 5000
EVERYWHERE = (EmergencyStop._meta.label,)
# A change of these may take rights away from anyone: then every reader's are looked at.
RIGHTS = {"environments.AccessGrant", "environments.AccessRule", "environments.Role", "environments.Delegation"}


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


def shown_by(token: str, rights: Rights) -> Shown:
    """Return what the page of a token shows to the account that it was made for, without rows of applications that it
    no longer sees. Raises signing.BadSignature.
    """
    reader, made, labels = signing.loads(token, salt=SALT, max_age=LONGEST_SECONDS)
    if rights.account is None or reader != rights.account.pk:
        raise signing.BadSignature("made for another account")
    seen = rights.applications
    known = applications_of(labels) if seen is not None else {}
    still = [one for one in labels if seen is None or known.get(one) is None or known[one] in seen]
    return Shown(reader, float(made), frozenset(still))


@page
def changed(request: HttpRequest) -> HttpResponse:
    """Answer a text that differs once something on the page has changed: for pages without a stream."""
    try:
        labels = shown_by(request.GET.get("of", ""), rights_of(request)).labels
    except signing.BadSignature:
        return JsonResponse({}, status=410)
    return JsonResponse({"newest": newest(labels)})
