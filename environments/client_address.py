"""From where a request comes, when proxies stand between."""

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponseBase


class AddressMiddleware:
    """Put the client's address where everything looks for it: ledger, sign-in limits, rates of the API.

    Each of the RINGI_PROXY_COUNT proxies adds to the end of X-Forwarded-For whom it was called by, so that the address
    which the first of them saw is that many from the end; what stands before it anyone may have written. A header that
    is shorter or holds no address changes nothing.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.PROXY_COUNT:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, with REMOTE_ADDR replaced."""
        if found := forwarded(request.META.get("HTTP_X_FORWARDED_FOR", ""), settings.PROXY_COUNT):
            request.META["REMOTE_ADDR"] = found
        return self.get_response(request)


def forwarded(header: str, proxies: int) -> str:
    """Return the address that the first of so many proxies saw, or "" when the header does not tell."""
    named = [part.strip() for part in header.split(",")]
    if len(named) < proxies:
        return ""
    try:
        return str(ipaddress.ip_address(named[-proxies]))
    except ValueError:
        return ""
