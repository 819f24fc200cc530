"""The end of a session that is not used: requests that a page makes by itself do not count as use."""

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from audit.actor import acting
from audit.operation import record_event
from environments.actors import person
from environments.sessions import ENDED, SessionStore

# A use is written at most this often.
KEPT = timedelta(minutes=1)


def by_itself(request: HttpRequest) -> bool:
    """Tell whether an open page sent this request to keep itself up to date."""
    return "X-Ringi-Live" in request.headers


class IdleMiddleware:
    """Sign out who has not used a session for RINGI_IDLE_MINUTES; 0: never."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve one request."""
        longest, session = timedelta(minutes=settings.IDLE_MINUTES), request.session
        if request.user.is_authenticated and isinstance(session, SessionStore) and session.used_at is not None:
            moment = timezone.now()
            unused = moment - session.used_at
            if longest and unused > longest:
                with acting(person(request.user, address=request.META.get("REMOTE_ADDR", ""))):
                    record_event("session:end_idle", object=f"environments.Account:{request.user.pk}")
                logout(request)
                request.session[ENDED] = True
            elif unused > KEPT and not by_itself(request):
                session.use(moment)
        return self.get_response(request)
