"""saved_view:save and saved_view:delete: a list's filters, search, columns and order under a name."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted
from environments import access
from environments.models import Account, SavedView

# The roles that take part in releases; an auditor reads everything here and leaves nothing behind.
RIGHTS = ("plan", "edit_changes", "upload_evidence", "sign_checklist", "approve", "manage_accounts")


def save(*, view: str, name: str, shared: bool = False) -> SavedView:
    """Keep a view of a list for the actor; one of the same name is replaced. Raises NotPermitted, InvalidInput.

    view: `app_model?query` of a list that the form knows; the query, at most 1,000 characters, is what its address ends
    with.
    """
    with operation("saved_view:save") as op:
        account = access.require("read")
        if not any(access.may(account, right) for right in RIGHTS):
            raise NotPermitted(_("Only people who take part in releases can save a view."))
        listed, _mark, query = view.partition("?")
        name = " ".join(name.split())
        if not name:
            raise InvalidInput(_("A saved view needs a name."))
        if len(query) > SavedView.LONGEST:
            raise InvalidInput(_("This view has too many filters to be saved."))
        saved, _new = SavedView.objects.update_or_create(
            account=account, listed=listed, name=name, defaults={"query": query, "shared": shared}
        )
        op.about(saved, list=listed, shared=shared)
    return saved


def delete(view_id: int) -> SavedView:
    """Delete a view: one's own, or anybody's by an account that administers accounts."""
    with operation("saved_view:delete", (SavedView, view_id)) as op:
        view = op.get(SavedView)
        if why := why_not_permitted(access.current_account(), view):
            raise NotPermitted(why)
        op.details |= {"name": view.name, "list": view.listed}
        SavedView.objects.filter(pk=view.pk).delete()
    return view


def why_not_permitted(account: Account, view: SavedView) -> str:
    """Return why a person may not delete a view; empty when they may. The owner may, whatever their roles are."""
    mine = view.account_id == account.pk or access.may(account, "manage_accounts")
    return "" if mine else _("This view belongs to another person.")
