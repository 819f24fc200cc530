"""A call names only what its description names, each once: a misspelled filter would otherwise count as none."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja.errors import ValidationError
from ninja.operation import Operation

from environments.language import listed


def as_described(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a view refuse (422) each parameter of the query and field of a form that its description does not name, and
    a repeated one that is no list. The models of JSON bodies do so themselves (`words.Body`).
    """
    operation: Operation = view._ninja_operation  # type: ignore[attr-defined]
    if not operation.include_in_schema:
        return view
    models = {model.__ninja_param_source__: model for model in operation.models}

    @wraps(view)
    def described(request: HttpRequest, **given: Any) -> Any:
        errors = []
        for source, sent in (("query", request.GET), ("form", request.POST), ("file", request.FILES)):
            model = models.get(source)
            known: list[str] = [*(getattr(model, "__ninja_flatten_map__", {}) or getattr(model, "model_fields", {}))]
            for name, values in sent.lists():
                if name not in known:
                    fault = _("is not known. Known are: %(names)s") % {"names": listed(known) or "—"}
                elif len(values) > 1 and name not in getattr(model, "__ninja_collection_fields__", ()):
                    fault = _("occurs more than once")
                else:
                    continue
                errors.append({"loc": (source, name[:100]), "msg": fault})
        if errors:
            raise ValidationError(errors)
        return view(request, **given)

    return described
