"""The documents of a release that a notification carries when the procedure's rule of its event says so (P6)."""

from django.conf import settings

from releases.models import Release
from releases.models.document import published_path
from releases.notifications.templates.placeholders import LONGEST

# An unapproved text is not sent.
AGREED = ("approved", "ready_to_publish", "published")


def attachments(event: str, release: Release | None, language: str) -> str:
    """Return name, address and text of each document that the rule names, to be put below a message; empty for none.

    language: of the names; a text is in the language in which it was written. A long text is cut; its address has it
    whole.
    """
    if release is None or release.procedure is None:
        return ""
    content = release.procedure.document
    wanted = next((rule.documents for rule in content.notification_rules if rule.event == event), ())
    labels = {row.key: row.label(language) for row in content.documents}
    rows = {row.kind: row for row in release.documents.filter(kind__in=wanted, state__in=AGREED)}
    parts = []
    for row in (rows[key] for key in wanted if key in rows):
        text = row.body if len(row.body) <= LONGEST else f"{row.body[:LONGEST]} …"
        parts.append(f"\n\n{labels[row.kind]}\n{settings.BASE_URL.rstrip('/')}{published_path(row)}\n\n{text}")
    return "".join(parts)
