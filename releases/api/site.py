"""The API as a whole: sign-in, rate, problems, its description and the page that shows it; one line per noun below."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from ninja import NinjaAPI, Router
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.docs import DocsBase
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from audit.refusals import OperationRefused
from environments.language import listed
from releases.api import (
    artefacts,
    ci,
    deployments,
    emergency_stop,
    evidence,
    figures,
    permissions,
    preparation,
    problems,
    releases,
    windows,
)
from releases.api.body import JsonParser
from releases.api.once import HEADER, LONGEST
from releases.api.rate import TokenRate
from releases.api.token import TokenBearer

ROUTERS: tuple[tuple[str, Router], ...] = (
    ("/releases", releases.router),
    ("/releases", preparation.router),
    ("/deployments", deployments.router),
    ("/ci/deployments", ci.ci),
    ("/evidence", evidence.router),
    ("/artefacts", artefacts.router),
    ("/windows", windows.router),
    ("/permissions", permissions.router),
    ("/figures", figures.router),
    ("/emergency-stop", emergency_stop.router),
)


class ApiPage(DocsBase):
    """The description of the API as a page, with the package's own files: nothing is loaded from elsewhere."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        """Show it."""
        return render(request, "api/api.html", {"openapi": self.get_openapi_url(api, kwargs)})


def as_described(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a view refuse (422) each parameter of the query and field of a form that its description does not name, and
    a repeated one that is no list. The models of JSON bodies do so themselves (`words.Body`).
    """
    operation: Operation = view._ninja_operation  # type: ignore[attr-defined]
    if not operation.include_in_schema:
        return view
    models = {model.__ninja_param_source__: model for model in operation.models}
    known = {
        source: [*(getattr(model, "__ninja_flatten_map__", {}) or model.model_fields)]
        for source, model in models.items()
    }

    @wraps(view)
    def described(request: HttpRequest, **given: Any) -> Any:
        errors = []
        for source, sent in (("query", request.GET), ("form", request.POST), ("file", request.FILES)):
            names = known.get(source, [])
            for name, values in sent.lists():
                if name not in names:
                    fault = _("is not known. Known are: %(names)s") % {"names": listed(names) or "—"}
                elif len(values) > 1 and name not in getattr(models[source], "__ninja_collection_fields__", ()):
                    fault = _("occurs more than once")
                else:
                    continue
                errors.append({"loc": (source, name[:100]), "msg": fault})
        if errors:
            raise ValidationError(errors)
        return view(request, **given)

    return described


def token_or_person(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Show the description to a caller with a valid token or a signed-in person."""

    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if request.path.endswith("/docs"):
            return redirect_to_login(request.get_full_path())
        if TokenBearer()(request) is None:
            raise AuthenticationError
        return view(request, *args, **kwargs)

    return shown


def answered(view: Callable[..., Any]) -> Callable[..., Any]:
    """Turn faults outside of ninja's reach (unknown method, unknown page, a fault) into problems as well."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        head = request.method == "HEAD"
        if head:
            request.method = "GET"  # HEAD gets what GET gets, without the body.
        try:
            response = view(request, *args, **kwargs)
        except Exception as fault:  # noqa: BLE001  the last place where a fault can become an answer without its inside
            return problems.of(request, fault)
        finally:
            request.method = "HEAD" if head else request.method
        if response.status_code == 405:
            refused = problems.problem(request, "method_not_allowed", _("This path does not accept this method."))
            refused["Allow"] = response["Allow"]
            return refused
        return response

    return answer


class TokenAPI(NinjaAPI):
    """The ninja API outside the session's sign-in; it checks its own bearer token on every path."""

    @property
    def urls(self) -> Any:
        """Return ninja's URLs without the redirect to the sign-in page."""
        patterns, app, namespace = super().urls
        for pattern in patterns:
            if pattern.callback is not None:
                pattern.callback = login_not_required(answered(pattern.callback))
        return patterns, app, namespace

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """Return the description, with three parts that ninja leaves out: the problems that every operation may answer,
        the Idempotency-Key header of writing calls, and the limits of forms.
        """
        schema = super().get_openapi_schema(**options)
        schema["components"]["schemas"]["Problem"] = PROBLEM
        content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        titles: dict[int, str] = {}
        for status, title in problems.KINDS.values():
            titles[status] = f"{titles[status]} / {title}" if status in titles else str(title)
        for operations in schema["paths"].values():
            for method, operation in operations.items():
                for status in problems.DOCUMENTED:
                    operation["responses"][status] = {"description": titles[status], "content": content}
                if method == "post":
                    operation.setdefault("parameters", []).append(KEY)
                form = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data")
                if form is not None:
                    form["schema"]["additionalProperties"] = False
                    for field in form["schema"]["properties"].values():
                        if field["type"] == "array":  # limits of file fields, which have no effect where there are none
                            field["minItems"] = 1
        return schema


KEY = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST},
    "description": "The same key with the same call is done once and answered the same for seven days.",
}
PROBLEM = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "reasons"],
    "properties": {
        "type": {"type": "string", "enum": [f"about:blank#{kind}" for kind in problems.KINDS]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}

api = TokenAPI(
    title="Ringi",
    version="1",
    description="Release governance for service accounts. The rules are those of the pages; there is no second set.",
    urls_namespace="api",
    auth=TokenBearer(),
    parser=JsonParser(),
    throttle=[TokenRate()],
    docs=ApiPage(),
    docs_url="/docs",
    docs_decorator=token_or_person,  # type: ignore[arg-type]
)
for kind in (OperationRefused, HttpError, ValidationError, Http404, Exception):
    api.add_exception_handler(kind, problems.of)
api.add_decorator(as_described)
for prefix, router in ROUTERS:
    api.add_router(prefix, router)

nowhere = Router()


@nowhere.api_operation(["GET", "POST", "PUT", "PATCH", "DELETE"], "/{path:rest}", include_in_schema=False)
def no_such_path(request: HttpRequest, rest: str) -> None:
    """Answer an unknown path of the API for a caller with a token."""
    raise Http404(_("This path does not exist in the API."))


api.add_router("", nowhere)
