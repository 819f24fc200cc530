"""A fresh proof of identity before second factors are changed, for accounts that only the identity provider signs in.

allauth does not ask a person who has neither a password nor a factor here: somebody who found such a session open could
add a passkey of their own to the account.
"""

import time
from collections.abc import Callable
from urllib.parse import urlencode

from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

FACTORS = "/account/mfa/"
LOOKING = (FACTORS, f"{FACTORS}authenticate/")


class FreshProofMiddleware:
    """Send such a person to the identity provider first."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve one request."""
        if request.path.startswith(FACTORS) and request.path not in LOOKING and _unproved(request):
            asked = urlencode({REDIRECT_FIELD_NAME: request.path})
            return HttpResponseRedirect(f"{reverse('single-sign-on-prove')}?{asked}")
        return self.get_response(request)


def _unproved(request: HttpRequest) -> bool:
    if not request.user.is_authenticated or get_reauthentication_flows(request.user):
        return False
    oldest = time.time() - settings.REAUTHENTICATION_TIMEOUT
    records = get_authentication_records(request, request.user)
    return not any(record.get("reauthenticated") and record["at"] >= oldest for record in records)
