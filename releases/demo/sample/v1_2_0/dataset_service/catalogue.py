"""The catalogue: newest datasets, one of them, a new one; called by the routes."""

from dataset_service.answers import Answer, BadRequest, Parts, fields_of, text_field
from dataset_service.titles import normalised

NEWEST = 20
LARGEST_COUNT = 2_000_000_000


def newest(parts: Parts, body: bytes) -> Answer:
    """Answer with the newest datasets."""
    return Answer(200, {"datasets": parts.cache.lookup("newest", lambda: parts.store.newest(NEWEST))})


def create(parts: Parts, body: bytes) -> Answer:
    """Add a dataset and answer with it."""
    fields = fields_of(body)
    title = normalised(text_field(fields, "title", 200))
    if not title:
        raise BadRequest("title is missing")
    row_count = fields.get("row_count", 0)
    if not isinstance(row_count, int) or not 0 <= row_count <= LARGEST_COUNT:
        raise BadRequest("row_count must be a whole number")
    made = parts.store.create(title, row_count, text_field(fields, "note", 2000))
    parts.cache.forget("newest")
    return Answer(201, made)


def one(parts: Parts, body: bytes, number: str) -> Answer:
    """Answer with one dataset."""
    found = parts.cache.lookup(number, lambda: parts.store.one(int(number)))
    return Answer(200, found) if found else Answer(404, {"error": "no such dataset"})
