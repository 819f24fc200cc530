"""Headers of each answer: the scripts that the browser may run, and that it keeps no copy of the page."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.utils.csp import CSP

# The pages of the admin run unfold's Alpine, which evaluates expressions (docs/decisions/content-security-policy.md).
_ours: Any = settings.SECURE_CSP
EVALUATING = {**_ours, "script-src": [*_ours["script-src"], CSP.UNSAFE_EVAL]}


class SecurityHeadersMiddleware(ContentSecurityPolicyMiddleware):
    """Django's policy of SECURE_CSP, with `unsafe-eval` below /admin/ only; `no-store` where nothing else is said."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Add the headers. Static files are answered before, and may be kept."""
        if request.path.startswith("/admin/"):
            response._csp_config = EVALUATING  # type: ignore[attr-defined]
        response.headers.setdefault("Cache-Control", "no-store")
        return super().process_response(request, response)
