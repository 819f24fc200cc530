"""The view behind every verb's URL: it shows the verb, calls the operation, and reports the result."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY, suspend_request
from django import forms
from django.contrib import admin, messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _, gettext_lazy
from django.views.decorators.http import require_http_methods

from audit.actor import Actor, acting, current
from audit.operation import label, record_refusal
from audit.refusals import NotPermitted, OperationRefused, SignatureRequired
from environments.actors import ASSERTION, proof_of
from environments.admin.rights import rights_of, shown_to
from environments.language import labelled
from environments.models import Account, Application
from releases.admin.components.links import page_of
from releases.admin.operations import verb as find
from releases.admin.operations.base import Preview, Shown, Verb
from releases.admin.pages.operation import effects
from releases.admin.pages.operation.submitted import digest_of, submit, values_of
from releases.models import ApprovalRequest

STATUS = {
    "not_permitted": 403,
    "not_possible": 409,
    "gate_not_passed": 409,
    "signature_required": 401,
    "second_factor_required": 401,
    "invalid_input": 400,
}

# What a person first sets up who has nothing that a refusal asks for. A sign-in by SAML is no signature.
TO_SET_UP = {
    "second_factor_required": gettext_lazy("Set up two-factor authentication on your account page first."),
    "signature_required": gettext_lazy("Add a passkey on your account page first, and sign with it."),
}
PREFILLED = ("application_id", "environment_id", "start", "event", "group_id")


def form_for(verb: Verb, instance: Any, request: HttpRequest | None = None) -> forms.Form:
    """Return the verb's form, bound when a request brings values."""
    kind = type("VerbForm", (forms.Form,), dict(verb.form_fields(instance)))
    if request is None:
        return kind()  # type: ignore[no-any-return]
    if request.method == "GET":
        # A link may fill in fields without a signature, such as the date of a window clicked in the calendar.
        known = [name for name in PREFILLED if name in request.GET and name in kind.base_fields]  # type: ignore[attr-defined]
        given = {name: request.GET[name] for name in known}
        given |= verb.fills(instance, request.GET) if verb.fills is not None else {}
        return kind(initial=given)  # type: ignore[no-any-return]
    return kind(request.POST, request.FILES)  # type: ignore[no-any-return]


@require_http_methods(["GET", "POST"])
def operation(request: HttpRequest, noun: str, name: str, pk: int | None = None) -> HttpResponseBase:
    """Serve a verb: GET shows its page, POST does it. A refusal says why, with a status of its own."""
    verb = find(noun, name)
    if verb is None or (verb.model is None) != (pk is None):
        raise Http404
    instance = None
    if verb.model is not None:
        instance = shown_to(request, verb.model._base_manager.filter(pk=pk)).first()
        if instance is None:
            raise Http404 if rights_of(request).grants else PermissionDenied
    account = request.user
    assert isinstance(account, Account)
    if request.method == "GET":
        # An object is hidden from accounts that could not use the verb on it.
        status = 200 if verb.for_you(rights_of(request), instance) else 403
        return _page(request, verb, instance, form_for(verb, instance, request), status=status)
    form = form_for(verb, instance, request)
    if why := verb.refusal(rights_of(request), instance):
        refusal = NotPermitted(why)
        subject = label(instance) if instance is not None else ""
        record_refusal(verb.key, *refusal.reasons, object=subject, kind=refusal.kind)
        return _refused(request, verb, instance, form, refusal)
    if not form.is_valid():
        return _page(request, verb, instance, form, status=400)
    try:
        with acting(as_proved(request)):
            if verb.tries is not None and "try" in request.POST:
                return _page(request, verb, instance, form, status=200, tried=verb.tries(instance, cleaned(form)))
            if verb.preview is not None and not _wants_json(request) and not _confirmed(request, verb, instance, form):
                shown = verb.previewed(instance, cleaned(form))
                if shown.rows or not verb.warns:
                    return _page(request, verb, instance, form, status=200, preview=shown)
            values = cleaned(form)
            result = submit(partial(verb.operation, *([] if pk is None else [pk]), **values), values)
    except OperationRefused as refused:
        return _refused(request, verb, instance, form, refused)
    except forms.ValidationError as wrong:
        form.add_error(None, wrong)
        return _page(request, verb, instance, form, status=400)
    return _done(request, verb, instance, result)


def as_proved(request: HttpRequest) -> Actor:
    """Return the actor with the session's proof of identity.

    A request that waited for the password is repeated inside the request that brought it. The actor of that request was
    made before the check; without this function, the page would ask for the password twice.
    """
    return replace(current(), **proof_of(request.session))


def cleaned(form: forms.Form) -> dict[str, Any]:
    return {
        name: getattr(value, "pk", value)
        if isinstance(form.fields[name], forms.ModelChoiceField)
        and not isinstance(form.fields[name], forms.ModelMultipleChoiceField)
        else value
        for name, value in form.cleaned_data.items()
    }


def _seen(verb: Verb, form: forms.Form, preview: Preview) -> str:
    """Return the digest of a form's values and of their preview, so that the person confirms what they have read. How a
    browser or the page writes a value (ends of lines, spaces of JSON) makes no difference.
    """
    values = {name: value for name, value in cleaned(form).items() if name not in verb.beside}
    shown = [] if verb.looks else [(str(name), str(value)) for name, value in preview.rows]
    return digest_of([values, shown])


def _confirmed(request: HttpRequest, verb: Verb, instance: Any, form: forms.Form) -> bool:
    given = request.POST.get("confirmed", "")
    if not given:
        return False
    # Result of a check: it takes a while and does not count here.
    return given == _seen(verb, form, Preview([]) if verb.looks else verb.previewed(instance, cleaned(form)))


def _beside(verb: Verb, form: forms.Form, preview: Preview | None) -> None:
    """Leave of the fields that belong to a preview those that this one holds or asks."""
    if not verb.beside:
        return
    held, asks = (preview.held, preview.asks) if preview is not None else ({}, frozenset[str]())
    for name in verb.beside:
        if name in asks:
            form.fields[name].required = True
        elif name not in held:
            del form.fields[name]
    if held:
        form.data = {**{name: form.data[name] for name in form.data}, **held}


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _refused(
    request: HttpRequest, verb: Verb, instance: Any, form: forms.Form, refused: OperationRefused
) -> HttpResponseBase:
    if _wants_json(request):
        return JsonResponse(
            {"ok": False, "kind": refused.kind, "reasons": [str(r) for r in refused.reasons]},
            status=STATUS.get(refused.kind, 400),
        )
    if asked := prove_again(request, refused, (act_on(verb, instance), values_of(form))):
        return asked
    if refused.kind in TO_SET_UP:
        form.add_error(None, TO_SET_UP[refused.kind])
    for reason in refused.reasons:
        form.add_error(None, str(reason))
    return _page(request, verb, instance, form, status=STATUS.get(refused.kind, 400))


def act_on(verb: Verb, instance: Any) -> str:
    """Return what a signature would do, in words, such as "Approve: Datasets 1.3.0"."""
    about = instance.about if isinstance(instance, ApprovalRequest) else instance
    return labelled(verb.label, about) if about is not None else str(verb.label)


def prove_again(
    request: HttpRequest, refused: OperationRefused, *acts: tuple[str, list[str]]
) -> HttpResponseBase | None:
    """Return the page that asks for the proof of identity that a refusal names; the request is repeated after it. None:
    the refusal names none, or the person has not set one up. acts: what is signed, in words, and a line for
    each submitted value, for that page.
    """
    if not isinstance(refused, SignatureRequired):
        return None
    known, enough = get_adapter().get_reauthentication_methods(request.user), refused.kind == "signature_required"
    ways = {way["id"]: way["url"] for way in known if enough or way["factor"]}
    # A passkey signs the content, and is both factors.
    wanted = ["mfa_reauthenticate:webauthn", "reauthenticate", "single_sign_on", "mfa_reauthenticate"]
    way = next((ways[name] for name in wanted if name in ways), None)
    if way is None:
        return None
    suspend_request(request, way)
    request.session.pop(ASSERTION, None)
    signed = {"contents": list(refused.contents), "acts": acts, "path": request.path}
    request.session[STATE_SESSION_KEY] |= signed | {"kind": refused.kind}
    # The kept request has its query; with a query in `next` too, allauth would show the empty form in its place.
    return HttpResponseRedirect(f"{way}?{urlencode({REDIRECT_FIELD_NAME: request.path})}")


def reasons_of(refused: OperationRefused) -> tuple[str, ...]:
    """Return why an operation was refused, and what the person sets up first, where that is it."""
    first = [str(TO_SET_UP[refused.kind])] if refused.kind in TO_SET_UP else []
    return (*map(str, refused.reasons), *first)


def contents_of(runs: Iterable[Callable[[], object]]) -> Iterator[str]:
    """Yield what each operation signs, as it says without a proof of identity. runs: of operations that sign; else they
    would be done.
    """
    for run in runs:
        try:
            with acting(replace(current(), authenticated_at=None)):
                run()
        except SignatureRequired as needed:
            yield from needed.contents
        except OperationRefused:
            continue  # The message follows when the others are done.


def _done(request: HttpRequest, verb: Verb, instance: Any, result: Any) -> HttpResponse:
    subject = result if hasattr(result, "pk") else instance
    own = verb.page(subject) if verb.page is not None else ""
    target = own or page_of(subject) or page_of(instance) or reverse("admin:index")
    secret = getattr(result, "secret", "")
    if verb.key == "release:plan" and "start" in request.GET:
        # A click on an empty window of the calendar led here: its date is the next thing to choose.
        target = (
            reverse("operation", args=["release", "set_scheduled_start", result.pk])
            + "?"
            + urlencode({"start": request.GET["start"]})
        )
    if request.GET.get("back") == "first-steps":
        about = subject if isinstance(subject, Application) else getattr(subject, "application", None)
        target = reverse("first-steps-of", args=[about.pk]) if about is not None else reverse("first-steps")
    if _wants_json(request):
        return JsonResponse(
            {
                "ok": True,
                "id": getattr(result, "pk", None),
                "url": target,
                "secret": secret,
                "state": getattr(result, "state", ""),
            }
        )
    messages.success(request, _("Done: %(what)s") % {"what": verb.label})
    if verb.result_message is not None:
        messages.info(request, verb.result_message(result))
    if secret:
        words = getattr(result, "secret_words", "") or _("The token, shown this once: %(secret)s")
        messages.warning(request, words % {"secret": secret})
    return HttpResponseRedirect(target)


def _page(
    request: HttpRequest,
    verb: Verb,
    instance: Any,
    form: forms.Form,
    *,
    status: int,
    preview: Preview | None = None,
    tried: Sequence[Shown] = (),
) -> HttpResponse:
    if _wants_json(request):
        errors = [f"{field}: {e}" for field, found in form.errors.items() for e in found]
        return JsonResponse({"ok": False, "kind": "invalid_input", "reasons": errors}, status=status)
    why_not = verb.refusal(rights_of(request), instance)
    may = not why_not
    confirmed = _seen(verb, form, preview) if preview is not None else ""
    _beside(verb, form, preview)
    return render(
        request,
        "pages/operation/operation.html",
        {
            **admin.site.each_context(request),
            "title": verb.label,
            "verb": verb,
            "form": form,
            "instance": instance,
            "may": may,
            "why_not": why_not,
            "not_now": verb.not_now(instance),
            "shown": verb.shows(instance) if verb.shows is not None and may and instance is not None else [],
            "back": page_of(instance) or reverse("admin:index"),
            "cost": effects.of(verb.key, instance) if may else None,
            "preview": preview.rows if preview is not None else None,
            # Wrapped, because a template would call a bare function.
            "shows_first": verb.preview is not None and not verb.warns and preview is None,
            "tried": tried,
            "tried_beside": any(one.expected for one in tried),
            "confirmed": confirmed,
        },
        status=status,
    )
