"""change_entry:edit and change_entry:remove: the changes of a release while it is a draft."""

from django.utils.translation import gettext as _

from audit.operation import Operation, operation
from audit.refusals import NotPossible
from environments import access
from releases.models import ChangeEntry, Release
from releases.operations.release.plan import change_of, clear_signatures, require_draft


def edit(change_entry_id: int, *, kind: str, text: str, ticket: str = "", reason: str = "") -> ChangeEntry:
    """Set type, text and ticket of a change. Its author stays; who edits it is an author of the release as well.

    Raises NotPermitted, NotPossible once the release is no draft, InvalidInput.
    """
    release_id = ChangeEntry.objects.get(pk=change_entry_id).release_id
    with operation("change_entry:edit", (Release, release_id), reason=reason) as op:
        columns = change_of(kind, text, ticket)
        entry = _begin(op, change_entry_id)
        for name, value in columns.items():
            setattr(entry, name, value)
        entry.save()
        op.about(entry)
    return entry


def remove(change_entry_id: int, *, reason: str = "") -> Release:
    """Remove a change. Its author stays an author of the release. Raises NotPermitted, NotPossible as above."""
    release_id = ChangeEntry.objects.get(pk=change_entry_id).release_id
    with operation("change_entry:remove", (Release, release_id), reason=reason) as op:
        entry = _begin(op, change_entry_id)
        op.details |= {"change_entry": entry.text, "ticket": entry.ticket}
        entry.delete()
    return op.get(Release)


def _begin(op: Operation, change_entry_id: int) -> ChangeEntry:
    """Return the change of a draft, whose other signatures have ended with it; the release is locked."""
    release = op.get(Release)
    account = access.require("edit_changes", instead="plan")
    require_draft(release)
    entry = release.changes.filter(pk=change_entry_id).first()
    if entry is None:
        raise NotPossible(_("The change was removed."))
    release.editors.add(account)
    clear_signatures(release)
    return entry
