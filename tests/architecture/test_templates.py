"""Templates name what there is: Django prints nothing for an undefined name, and no page test sees that."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from django.apps import apps

from .files import ROOT, tracked

CODE = ("audit/", "config/", "environments/", "releases/")
# Names of Django, allauth, Unfold and the browser's interface that our templates read.
THEIRS = frozenset(
    [
        "LANGUAGE_CODE",
        "all",
        "allowCredentials",
        "auto_id",
        "block",
        "body_extra",
        "cl",
        "counter",
        "counter0",
        "count",
        "credential",
        "data",
        "display",
        "element_classes",
        "errors",
        "exists",
        "field",
        "fields",
        "first",
        "grouper",
        "get_full_path",
        "has_active_filters",
        "has_filters",
        "has_next",
        "has_other_pages",
        "has_previous",
        "help_text",
        "hidden_fields",
        "forloop",
        "form",
        "has_permission",
        "header_title",
        "id_for_label",
        "input_type",
        "is_authenticated",
        "is_bound",
        "is_hidden",
        "js_data",
        "items",
        "label",
        "last",
        "list_fullwidth",
        "list_per_page",
        "method",
        "model",
        "model_admin",
        "month",
        "name",
        "next_page_number",
        "non_field_errors",
        "object_list",
        "opts",
        "parentloop",
        "path",
        "previous_page_number",
        "publicKey",
        "query",
        "query_string",
        "recovery_codes",
        "redirect_field",
        "request",
        "request_options",
        "resolver_match",
        "required",
        "result_count",
        "result_list",
        "search_fields",
        "selected",
        "site_title",
        "sortable",
        "sorted",
        "subtitle",
        "super",
        "total_count",
        "totp_svg_data_uri",
        "unused_code_count",
        "user",
        "ascending",
        "text",
        "time",
        "title",
        "total",
        "totp",
        "url_primary",
        "user",
        "values",
        "verbose_name",
        "verbose_name_plural",
        "visible_fields",
        "webauthn",
        "webauthn_form",
        "widget",
        "widget_type",
        "year",
    ]
)
PATH = re.compile(r"(?<![\w.|:])([A-Za-z_]\w*)((?:\.\w+)+)")
# What a template itself gives a name to: a loop's variables, `with x=…`, `as x`.
GIVEN = re.compile(r"{%-?\s*for\s+([\w, ]+?)\s+in\s|(\w+)=|\bas\s+(\w+)")


@cache
def defined() -> frozenset[str]:
    """Return every name that our code gives to something: functions, attributes, keywords, keys and columns."""
    found = set(THEIRS)
    for name in tracked():
        if name.endswith(".py") and name.startswith(CODE) and "/migrations/" not in name:
            for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
                match node:
                    case ast.FunctionDef(name=given) | ast.keyword(arg=str(given)):
                        found.add(given)
                    case ast.AnnAssign(target=ast.Name(id=given)) | ast.Assign(targets=[ast.Name(id=given)]):
                        found.add(given)
                    case ast.Constant(value=str(given)) if given.isidentifier():
                        found.add(given)
    for model in apps.get_models():
        for field in model._meta.get_fields():
            found |= {
                field.name,
                getattr(field, "attname", field.name),
                getattr(field, "get_accessor_name", str)() or "",
            }
            if getattr(field, "choices", None):
                found.add(f"get_{field.name}_display")
    return frozenset(found)


def reads() -> Iterator[tuple[str, str, str]]:
    """Yield (template, what it reads, one name of it): each attribute, and each variable that it prints."""
    templates = [name for name in tracked() if name.endswith(".html") and name.startswith(CODE)]
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in templates}
    # A template that another includes reads the names of that one too.
    given = {
        word for text in texts.values() for found in GIVEN.findall(text) for word in re.findall(r"\w+", " ".join(found))
    }
    for name, text in texts.items():
        for tag in re.findall(r"{[{%](.*?)[%}]}", text, re.DOTALL):
            for found in PATH.finditer(re.sub(r'"[^"]*"|\'[^\']*\'', "''", tag)):
                yield from ((name, found[0], part) for part in found[2].split(".")[1:] if not part.isdigit())
        for variable in re.findall(r"{{\s*([A-Za-z_]\w*)", text):
            if variable not in given:
                yield name, variable, variable


def test_each_attribute_that_a_template_reads_is_defined_somewhere() -> None:
    found = list(reads())
    assert len(found) > 1000
    assert sorted({f"{name}: {path}" for name, path, part in found if part not in defined()}) == []


def test_a_name_that_is_gone_is_found() -> None:
    assert not {"get_unanswered_display", "consent_id", "watch_of"} & defined()
    assert {"get_on_timeout_display", "approval_request_id", "monitoring_periods"} <= defined()
