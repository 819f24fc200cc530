"""Which function answers which request; called by the application."""

import re
from collections.abc import Callable

from dataset_service import catalogue, tags
from dataset_service.answers import Answer, Parts

Route = tuple[str, str, Callable[..., Answer]]
ROUTES: list[Route] = [
    ("GET", r"/datasets", catalogue.newest),
    ("POST", r"/datasets", catalogue.create),
    ("GET", r"/datasets/([0-9]{1,18})", catalogue.one),
    ("GET", r"/datasets/export", tags.export),
    ("GET", r"/datasets/([0-9]{1,18})/tags", tags.tags),
    ("POST", r"/datasets/([0-9]{1,18})/tags", tags.add_tag),
]
COMPILED = [(method, re.compile(pattern), answer) for method, pattern, answer in ROUTES]


def answer(parts: Parts, method: str, path: str, body: bytes) -> Answer:
    """Answer a request by the first route that fits. Raises BadRequest."""
    known = False
    for route_method, pattern, function in COMPILED:
        fit = pattern.fullmatch(path)
        if fit and route_method == method:
            return function(parts, body, *fit.groups())
        known = known or fit is not None
    return Answer(405, {"error": "not with this method"}) if known else Answer(404, {"error": "not found"})
