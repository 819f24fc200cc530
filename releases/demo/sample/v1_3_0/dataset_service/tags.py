"""Tags of datasets and the export of the catalogue; called by the routes."""

import csv
import io

from dataset_service.answers import Answer, Parts, fields_of, text_field

EXPORTED = "SELECT id, title, row_count FROM datasets ORDER BY id LIMIT %s"
ADDED = """
INSERT INTO tags (dataset_id, tag) SELECT id, %s FROM datasets WHERE id = %s
ON CONFLICT (dataset_id, tag) DO UPDATE SET tag = excluded.tag RETURNING tag
"""


def export(parts: Parts, body: bytes) -> Answer:
    """Answer with the oldest datasets as CSV, at most EXPORT_LIMIT of them."""
    limit = int(parts.settings.number("EXPORT_LIMIT"))
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(("id", "title", "row_count"))
    writer.writerows(row.values() for row in parts.store.read(EXPORTED, [limit]))
    return Answer(200, page.getvalue(), "text/csv; charset=utf-8")


def tags(parts: Parts, body: bytes, number: str) -> Answer:
    """Answer with the tags of a dataset."""
    rows = parts.store.read("SELECT tag FROM tags WHERE dataset_id = %s ORDER BY tag", [int(number)])
    return Answer(200, {"tags": [row["tag"] for row in rows]})


def add_tag(parts: Parts, body: bytes, number: str) -> Answer:
    """Add a tag to a dataset; adding it twice changes nothing."""
    tag = text_field(fields_of(body), "tag", 40).strip()
    if not tag:
        return Answer(400, {"error": "tag is missing"})
    made = parts.store.write(ADDED, [tag, int(number)])
    return Answer(201, {"tag": tag}) if made else Answer(404, {"error": "no such dataset"})
