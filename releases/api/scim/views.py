"""The addresses of SCIM: discovery, and users and groups, for a token that is good for nothing else."""

import json
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from ninja.errors import AuthenticationError, Throttled
from pydantic import ValidationError
from scim2_models import (
    Context,
    Error,
    InvalidFilterException,
    InvalidSyntaxException,
    InvalidValueException,
    ListResponse,
    NotFoundException,
    NotImplementedException,
    PatchOp,
    Resource,
    ResourceType,
    ResponseParameters,
    Schema,
    SCIMException,
    SearchRequest,
)
from scim2_models.path import CompareOperator, Comparison, LogicalExpr, LogicalOperator

from audit.actor import acting
from audit.operation import retry_on_deadlock
from audit.refusals import AlreadyExists, InvalidInput
from environments import access
from releases.api import problems
from releases.api.body import JsonParser
from releases.api.rate import TokenRate
from releases.api.scim.resources import KINDS, MOST, PROVIDER, Kind, is_key
from releases.api.token import TokenBearer, actor_of

MEDIA_TYPE = "application/scim+json"
# Read-only attributes, which clients send back.
UNWRITTEN = ("id", "meta")
# The highest place in a list; whatever is asked for behind it is as empty.
LAST = 10**9
View = Callable[..., HttpResponse]
rate = TokenRate()


class ProvisioningBearer(TokenBearer):
    """Takes the token of a service account for provisioning."""

    provisions = True


class MethodNotAllowed(SCIMException):
    """The address does not know the method."""

    status = 405


def _answered(view: View) -> View:
    """Ask who calls, act as they do, and answer refusals and faults as SCIM does (RFC 7644, section 3.12)."""

    @csrf_exempt
    @login_not_required
    @never_cache
    @wraps(view)
    def answer(request: HttpRequest, **given: Any) -> HttpResponse:
        try:
            request.auth = ProvisioningBearer()(request)  # type: ignore[attr-defined]
            if request.auth is None:  # type: ignore[attr-defined]
                raise AuthenticationError
            if not rate.allow_request(request):
                raise Throttled(wait=int(rate.wait()))
            with acting(actor_of(request)), PROVIDER:
                access.require("provision")
                return retry_on_deadlock(view)(request, **given)
        except ValidationError as fault:
            return _json(Error.from_validation_errors(fault)[0])
        except SCIMException as fault:
            return _json(fault.to_error())
        except Exception as fault:  # noqa: BLE001  the last place where a fault can become an answer without its inside
            return _refused(request, fault)

    return answer


def _refused(request: HttpRequest, fault: Exception) -> HttpResponse:
    """Return what the API answers, which records it too, in the form of SCIM."""
    problem = problems.of(request, fault)
    status, kind = problem.status_code, None
    if isinstance(fault, InvalidInput):
        status, kind = (409, "uniqueness") if isinstance(fault, AlreadyExists) else (400, "invalidValue")
    answer = _json(Error(status=status, scim_type=kind, detail=json.loads(problem.content)["detail"]))
    for header in ("WWW-Authenticate", "Retry-After"):
        if header in problem:
            answer[header] = problem[header]
    return answer


def _json(
    message: Any,
    status: int | None = None,
    context: Context = Context.RESOURCE_QUERY_RESPONSE,
    asked: ResponseParameters[Any] | None = None,
) -> HttpResponse:
    content = message.model_dump_json(scim_ctx=context, response_parameters=asked)
    answer = HttpResponse(content, status=status or getattr(message, "status", 200), content_type=MEDIA_TYPE)
    if status == 201:
        answer["Location"] = message.meta.location
    return answer


def _body(request: HttpRequest) -> dict[str, Any]:
    """Return the body of a call, which is an object. Raises InvalidSyntaxException."""
    try:
        body = JsonParser().parse_body(request)
    except (ValueError, RecursionError) as fault:
        raise InvalidSyntaxException(detail=str(fault)[:200]) from None
    if not isinstance(body, dict):
        raise InvalidSyntaxException
    if r"\u0000" in json.dumps(body):
        raise InvalidValueException
    return body


def _written(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a client wants to write, of a whole resource."""
    return {name: value for name, value in body.items() if name not in UNWRITTEN and value is not None}


def _asked(kind: Kind, request: HttpRequest) -> SearchRequest[Any]:
    model: Any = kind.model
    return SearchRequest[model].model_validate(request.GET.dict())


def _condition(kind: Kind, node: Any) -> Q:
    """Return the condition of a filter: `eq`, and several of them joined by `and`. Raises InvalidFilterException."""
    match node:
        case LogicalExpr(op=LogicalOperator.and_, terms=terms):
            return Q(*(_condition(kind, term) for term in terms))
        case Comparison(op=CompareOperator.eq, value=str() as value) if "\0" not in value:
            column = kind.columns.get(str(node.attr_path).lower().removeprefix(f"{kind.model.__schema__}:".lower()))
            if column == "pk":
                return Q(pk=int(value)) if is_key(value) else Q(pk=None)
            if column is not None:
                return Q(**{column: value})
    known = ", ".join(("id", "userName", "displayName", "externalId"))
    raise InvalidFilterException(detail=_("A filter compares %(names)s by eq, joined by and.") % {"names": known})


def _collection(request: HttpRequest, *, kind: Kind) -> HttpResponse:
    """List resources (GET), or make one (POST)."""
    if request.method == "POST":
        body = _body(request)
        given = kind.defaults(body, None) | _written(body)
        made = kind.model.model_validate(given, scim_ctx=Context.RESOURCE_CREATION_REQUEST)
        row = kind.rows().get(pk=kind.create(made))
        return _json(kind.show(row), 201, Context.RESOURCE_CREATION_RESPONSE)
    if request.method != "GET":
        raise MethodNotAllowed(detail=_("This path does not accept this method."))
    asked = _asked(kind, request)
    rows = kind.rows().filter(_condition(kind, asked.filter.ast) if asked.filter is not None else Q()).order_by("pk")
    begin, count = min(asked.start_index_0 or 0, LAST), MOST if asked.count is None else min(asked.count, MOST)
    total, page = rows.count(), [kind.show(row) for row in rows[begin : begin + count]]
    return _listed(kind.model, page, total, begin + 1, asked)


def _listed(
    model: Any, page: list[Any], total: int, start: int = 1, asked: ResponseParameters[Any] | None = None
) -> HttpResponse:
    listed = ListResponse[model](total_results=total, start_index=start, items_per_page=len(page), resources=page)
    return _json(listed, asked=asked)


def _one(request: HttpRequest, *, kind: Kind, key: str) -> HttpResponse:
    """Show a resource (GET), replace it (PUT), change it (PATCH), or end it (DELETE)."""
    row = kind.rows().filter(pk=int(key)).first() if is_key(key) else None
    if row is None:
        raise NotFoundException(detail=_("The requested object does not exist."))
    now, model = kind.show(row), kind.model
    match request.method:
        case "GET":
            return _json(now, asked=_asked(kind, request))
        case "DELETE":
            kind.delete(row)
            return HttpResponse(status=204)
        case "PUT":
            body = _body(request)
            given = kind.defaults(body, now) | _written(body)
            wanted = model.model_validate(given, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST)
        case "PATCH":
            wanted = now.model_copy(deep=True)
            _patch(model, _body(request)).patch(wanted)
        case _:
            raise MethodNotAllowed(detail=_("This path does not accept this method."))
    kind.put(row, wanted, now)
    return _json(kind.show(kind.rows().get(pk=row.pk)), 200, Context.RESOURCE_REPLACEMENT_RESPONSE)


def _patch(model: Any, body: dict[str, Any]) -> Any:
    """Return a patch. In a value without a path, a key with a filter is a path, and what is read-only is left out, as
    Microsoft Entra ID and Okta send them.
    """
    operations = body.get("Operations")
    operations = operations if isinstance(operations, list) else []
    for given in [one for one in operations if isinstance(one, dict) and not one.get("path")]:
        value = given.get("value")
        for key in list(value) if isinstance(value, dict) else ():
            if key in UNWRITTEN:
                del given["value"][key]
            elif "[" in key:
                operations.append({"op": given.get("op"), "path": key, "value": given["value"].pop(key)})
    return PatchOp[model].model_validate(body, scim_ctx=Context.RESOURCE_PATCH_REQUEST)


def _published(request: HttpRequest, *, of: type[Resource[Any]], key: str | None = None) -> HttpResponse:
    """Show what the service says of itself."""
    if request.method != "GET":
        raise MethodNotAllowed(detail=_("This path does not accept this method."))
    if of not in (Schema, ResourceType):
        return _json(PROVIDER.config)
    every: Any = PROVIDER.schemas if of is Schema else PROVIDER.resource_types
    if key is None:
        return _listed(of, list(every), len(every))
    for one in every:
        if key in (str(one.id), getattr(one, "name", None)):
            return _json(one)
    raise NotFoundException(detail=_("The requested object does not exist."))


def _search(request: HttpRequest) -> HttpResponse:
    raise NotImplementedException


def _nothing(request: HttpRequest, rest: str) -> HttpResponse:
    raise NotFoundException(detail=_("This path does not exist in the API."))


def _at(address: str, view: View, **given: Any) -> URLPattern:
    return path(address, _answered(wraps(view)(partial(view, **given))))


urls = [
    _at("ServiceProviderConfig", _published, of=type(PROVIDER.config)),
    *(
        _at(f"{name}{rest}", _published, of=of)
        for name, of in (("ResourceTypes", ResourceType), ("Schemas", Schema))
        for rest in ("", "/<str:key>")
    ),
    *(_at(f"{kind.endpoint[1:]}", _collection, kind=kind) for kind in KINDS),
    *(_at(f"{kind.endpoint[1:]}/<str:key>", _one, kind=kind) for kind in KINDS),
    _at(".search", _search),
    _at("<path:rest>", _nothing),
]
