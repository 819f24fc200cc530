"""notification_template:edit, notification_template:restore: what messages of an event say; each version is kept."""

import itertools
from collections.abc import Mapping

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, WrongState
from environments import access
from releases.letters.places import fault_of
from releases.letters.shipped import shipped
from releases.models import NotificationTemplate

FIELDS = ("subject_ja", "body_ja", "subject_en", "body_en")


def write(
    text_id: int, *, subject_ja: str, body_ja: str, subject_en: str, body_en: str, reason: str = ""
) -> NotificationTemplate:
    """Write a text in both languages; an empty one stands for the shipped one. Raises Invalid.

    A text that people outside are told when a release goes back is part of what is consented to: changing it voids
    the consents that are open or granted.
    """
    with change("notification_template:edit", (NotificationTemplate, text_id), reason=reason, sign=True) as act:
        account = access.require("tell")
        row = act.get(NotificationTemplate)
        given = dict(zip(FIELDS, (subject_ja, body_ja, subject_en, body_en), strict=True))
        given = {name: text.replace("\r\n", "\n").strip() for name, text in given.items()}
        for name, text in given.items():
            if fault := fault_of(text):
                raise Invalid(f"{row._meta.get_field(name).verbose_name}: {fault}")  # type: ignore[union-attr]
            if name.startswith("subject") and len(text.splitlines()) > 1:
                raise Invalid(_("A subject must be a single line."))
            # What is as it was shipped goes on with the shipped text, also when that is improved.
            words = shipped(row.event, name[-2:])
            setattr(row, name, "" if text == (words.subject if name.startswith("subject") else words.body) else text)
        row.version += 1
        row.edited_by, row.edited_at = account, now()
        act.signature("write_text")
    return row


def restore(text_id: int, *, reason: str) -> NotificationTemplate:
    """Go back to the shipped texts. Raises WrongState, Invalid."""
    with change("notification_template:restore", (NotificationTemplate, text_id), reason=reason, sign=True) as act:
        access.require("tell")
        row = act.get(NotificationTemplate)
        if not any(getattr(row, name) for name in FIELDS):
            raise WrongState(_("The default template is in use."))
        act.require_reason()
        for name in FIELDS:
            setattr(row, name, "")
        row.version += 1
        # Nobody has written the shipped text, so it keeps nobody from releasing a message.
        row.edited_by, row.edited_at = None, now()
        act.signature("restore_text")
    return row


def left_behind(row: NotificationTemplate) -> str:
    """Return the language that was left as it was when the other one was written last (ja or en); empty for neither."""
    versions = list(row.history.order_by("-history_id").values(*FIELDS))
    for new, old in itertools.pairwise(versions):
        if found := only_one({name: old[name] for name in FIELDS}, {name: new[name] for name in FIELDS}):
            return found
        if new != old:
            return ""
    return ""


def only_one(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return the language whose text stays while the other one's changes; empty when both change or neither."""
    changed = {name[-2:] for name in FIELDS if old[name] != new[name]}
    return {"ja": "en", "en": "ja"}[changed.pop()] if len(changed) == 1 else ""
