"""One event by its number: what changed, the rest of its operation, its signature, and its proof."""

import base64
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _

from audit.ledger.note import BadNote, read
from audit.ledger.proof import verify_inclusion
from audit.ledger.tree import Tree
from audit.models import Checkpoint, Event, LedgerEntry
from environments.admin.rights import page, require_shown
from releases.admin.components.change_history import history_entry
from releases.admin.components.formatting import show
from releases.admin.components.visibility import visibility_of
from releases.admin.pages.export.page import public_key
from releases.admin.pages.timeline.page import own_events

SHOWN = 100
# Full subtrees never change: a page reuses what another page has read of them.
_read = Tree(connection)


def proof_of(number: int) -> dict[str, Any] | None:
    """Return the proof of an event under the first checkpoint that covers it; None while none does."""
    checkpoint = Checkpoint.objects.filter(number__gte=number).order_by("number").first()
    if checkpoint is None:
        return None
    link = LedgerEntry.objects.select_related("event").get(pk=number)
    path = Tree(connection).inclusion(number - 1, checkpoint.number)
    return {
        "number": number,
        "event": base64.b64encode(bytes(link.event.bytes)).decode(),
        "leaf": bytes(link.leaf).hex(),
        "size": checkpoint.number,
        "path": [node.hex() for node in path],
        "checkpoint": checkpoint.note,
    }


def unproven(link: LedgerEntry, checkpoint: Checkpoint | None) -> str:
    """Return why an event is not in the signed tree or differs from its columns; empty if it is fine or unsigned."""
    if (why := link.event.fault) or checkpoint is None:
        return why
    try:
        claim = read(checkpoint.note, public_key())
        for tree in (_read, Tree(connection)):  # The cached proof may belong to a database that was restored since.
            path = tree.inclusion(link.number - 1, claim.size)
            if verify_inclusion(bytes(link.leaf), link.number - 1, claim.size, path, claim.root):
                return ""
    except (BadNote, LookupError) as broken:
        return str(broken)
    return "the leaf is not in the tree that the checkpoint names"


@page
def event(request: HttpRequest, number: int) -> HttpResponse:
    """Show one event; `?proof=1` gives its bytes and proof as JSON."""
    link = LedgerEntry.objects.select_related("event").filter(pk=number).first() if number < 2**63 else None
    if link is None:
        raise Http404
    found: Event = link.event
    found.ledger_entry = link
    seen = visibility_of(request)
    require_shown(request, found.object)
    if not seen(found.object):
        raise PermissionDenied
    if request.GET.get("proof"):
        # The proof reads the whole tree, so only a request for it makes it.
        try:
            proof = proof_of(number)
        except LookupError as broken:
            return JsonResponse({"broken": str(broken)}, status=409)
        if proof is None:
            raise Http404
        answer = JsonResponse(proof)
        answer["Content-Disposition"] = f'attachment; filename="event-{number}.json"'
        return answer
    checkpoint = Checkpoint.objects.filter(number__gte=number).order_by("number").first()
    related = []
    if found.operation_id is not None:
        others = Event.objects.filter(operation_id=found.operation_id).exclude(pk=found.pk)
        rows = others.select_related("ledger_entry", "pending")
        rows = rows.order_by("ledger_entry__number", "pending__position")[:SHOWN]
        shown = own_events(request, list(rows))
        seen = visibility_of(request, [other.object for other in shown])
        related = [history_entry(other, values=seen(other.object)) for other in shown]
    return show(
        request,
        "pages/event/event.html",
        _("Event %(number)s") % {"number": number},
        h=history_entry(found),
        unproven=unproven(link, checkpoint),
        keyed=bool(public_key()),
        related=related,
        leaf=bytes(link.leaf).hex(),
        checkpoint=checkpoint,
        bytes=bytes(found.bytes).decode(errors="replace"),
    )
