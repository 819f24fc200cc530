"""The end of a session that is not used: requests that a page makes by itself do not count as use."""

import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse

from audit.actor import acting
from audit.operation import record_event
from environments.actors import person

# When the session was used last, in seconds since 1970; written at most once in so many seconds.
USED_AT, KEPT_SECONDS = "ringi_used_at", 60.0
# Marks a visitor whose session has ended, for the sentence on the sign-in page.
ENDED = "ringi_session_ended"


def by_itself(request: HttpRequest) -> bool:
    """Tell whether an open page sent this request to keep itself up to date."""
    return "X-Ringi-Live" in request.headers


class IdleMiddleware:
    """Sign out who has not used a session for RINGI_IDLE_MINUTES; 0: never."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve one request."""
        longest = settings.IDLE_MINUTES * 60
        if longest and request.user.is_authenticated:
            moment = time.time()
            used_at = request.session.get(USED_AT)
            if used_at is not None and moment - used_at > longest:
                with acting(person(request.user, address=request.META.get("REMOTE_ADDR", ""))):
                    record_event("session:end_idle", object=f"environments.Account:{request.user.pk}")
                logout(request)
                request.session[ENDED] = True
            elif used_at is None or (moment - used_at > KEPT_SECONDS and not by_itself(request)):
                request.session[USED_AT] = moment
        return self.get_response(request)
