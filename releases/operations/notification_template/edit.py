"""notification_template:edit, notification_template:restore: the texts of an event's notifications; each version is
kept.
"""

import itertools
from collections.abc import Mapping

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPossible
from environments import access
from releases.models import NotificationTemplate
from releases.notifications.templates.defaults import default_words
from releases.notifications.templates.placeholders import fault_of

FIELDS = ("subject_ja", "body_ja", "subject_en", "body_en")


def edit(
    text_id: int, *, subject_ja: str, body_ja: str, subject_en: str, body_en: str, reason: str = ""
) -> NotificationTemplate:
    """Edit a text in both languages; an empty one stands for the default text. Raises InvalidInput.

    A text that external stakeholders get when a release is rolled back is part of what is approved: changing it
    invalidates the approval requests that are in review or approved.
    """
    with operation("notification_template:edit", (NotificationTemplate, text_id), reason=reason, sign=True) as op:
        account = access.require("configure_notifications")
        row = op.get(NotificationTemplate)
        given = dict(zip(FIELDS, (subject_ja, body_ja, subject_en, body_en), strict=True))
        given = {name: text.replace("\r\n", "\n").strip() for name, text in given.items()}
        for name, text in given.items():
            if fault := fault_of(text):
                raise InvalidInput(f"{row._meta.get_field(name).verbose_name}: {fault}")  # type: ignore[union-attr]
            if name.startswith("subject") and len(text.splitlines()) > 1:
                raise InvalidInput(_("A subject must be a single line."))
            # A text that equals the default follows the default, also when that is improved.
            words = default_words(row.event, name[-2:])
            setattr(row, name, "" if text == (words.subject if name.startswith("subject") else words.body) else text)
        row.version += 1
        row.edited_by, row.edited_at = account, now()
        op.signature()
    return row


def restore(text_id: int, *, reason: str) -> NotificationTemplate:
    """Restore the default texts. Raises NotPossible, InvalidInput."""
    with operation("notification_template:restore", (NotificationTemplate, text_id), reason=reason, sign=True) as op:
        access.require("configure_notifications")
        row = op.get(NotificationTemplate)
        if not any(getattr(row, name) for name in FIELDS):
            raise NotPossible(_("The default template is in use."))
        op.require_reason()
        for name in FIELDS:
            setattr(row, name, "")
        row.version += 1
        # The default text has no author, so it keeps no person from approving a notification.
        row.edited_by, row.edited_at = None, now()
        op.signature()
    return row


def outdated_language(row: NotificationTemplate) -> str:
    """Return the language that was left unchanged when the other one was edited last (ja or en); empty for neither."""
    versions = list(row.history.order_by("-history_id").values(*FIELDS))
    for new, old in itertools.pairwise(versions):
        if found := single_language({name: old[name] for name in FIELDS}, {name: new[name] for name in FIELDS}):
            return found
        if new != old:
            return ""
    return ""


def single_language(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return the language whose text stays while the other one's changes; empty when both change or neither."""
    changed = {name[-2:] for name in FIELDS if old[name] != new[name]}
    return {"ja": "en", "en": "ja"}[changed.pop()] if len(changed) == 1 else ""
