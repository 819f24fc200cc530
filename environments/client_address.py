"""From where a request comes, when proxies stand between."""

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponseBase


class AddressMiddleware:
    """Put the client's address where everything looks for it: ledger, sign-in limits, rates of the API.

    Each of the RINGI_PROXY_COUNT proxies appends its caller's address to X-Forwarded-For. So the address that the first
    proxy saw is that many from the end; a client may forge what stands before it. A header that
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
    """Return the address that the first of so many proxies saw, or "" when the header does not say."""
    named = [part.strip() for part in header.split(",")]
    if len(named) < proxies:
        return ""
    try:
        return str(ipaddress.ip_address(named[-proxies]))
    except ValueError:
        return ""
