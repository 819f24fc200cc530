"""Several operations with one proof of identity: each is done or refused by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from audit.actor import acting
from audit.refusals import OperationRefused, SignatureRequired
from environments.language import labelled
from releases.admin.pages.operation.page import as_proved, contents_of, prove_again, reasons_of


@dataclass(frozen=True)
class Act:
    """One of them. key: of its tick box. label: what it does, in words. values: a line for each submitted value. run:
    does it, or raises an OperationRefused. signs: it asks for a proof of identity before it does anything.
    """

    key: str
    label: str
    values: list[str]
    run: Callable[[], object]
    signs: bool = True


def do_all(
    request: HttpRequest, acts: Sequence[Act], prove: Callable[[], None] | None = None
) -> HttpResponseBase | dict[str, tuple[str, ...]]:
    """Do them in order, those that sign first, and report each; return key → reasons of those that were refused. Return
    the page that asks for a proof of identity instead, as long as nothing was done; the request is repeated after it.

    prove: raises the refusal for a proof that one of them needs and that an earlier one would not ask for.
    """
    done, refused = list[str](), dict[str, tuple[str, ...]]()
    signing = [act for act in acts if act.signs]
    for act in [*signing, *(act for act in acts if not act.signs)]:
        try:
            with acting(as_proved(request)):
                if prove is not None and not done:
                    prove()
                act.run()
        except OperationRefused as why:
            if not done and isinstance(why, SignatureRequired):
                why.contents = tuple(contents_of(one.run for one in signing))
            if not done and (asked := prove_again(request, why, *((one.label, one.values) for one in signing))):
                return asked
            refused[act.key] = reasons_of(why)
            text = labelled(act.label, " ".join(refused[act.key]))
            messages.error(request, _("Not done: %(what)s") % {"what": text})
        else:
            done.append(act.label)
    if done:
        messages.success(request, _("Done: %(what)s") % {"what": "; ".join(done)})
    return refused
