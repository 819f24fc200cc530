"""Static files by the digest of their contents, kept by browsers for a year; and pages compressed on their way."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFiles(CompressedManifestStaticFilesStorage):
    """Names with digests where `collectstatic` wrote them, and plain names where it did not.

    A file that is not collected yet must not take a page down.
    """

    def stored_name(self, name: str) -> str:
        """Return the name under which the file is served."""
        return str(self.hashed_files.get(self.hash_key(self.clean_name(name)), name))


class CompressedPages(GZipMiddleware):
    """Compresses pages alone: what is downloaded keeps its length, and what is streamed is sent at once.

    Django adds random bytes, so that the length tells nothing about a page's tokens (BREACH).
    """

    def process_response(self, request: HttpRequest, response: Any) -> HttpResponseBase:
        """Return the response, compressed if it is a page."""
        if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)
