"""The text of docs/reference/procedure-fields.md, made from the models that read a procedure document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from releases.procedures.document import Procedure
from releases.procedures.left_out import SECTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "procedure-fields.md"
HEAD = """\
# All fields of the procedure document

`RINGI_DOCS_WRITE=1 make test TESTS=tests/docs/test_procedure_fields_page.py` writes this page from the models that read
a procedure document. Do not edit the page by hand; the test says when it is stale. The
[procedure document](procedure-document.md) says what each field means.

`[]` is a row of a list. A *label* is text in the languages of the procedure, and a *condition* is a list of risk
classes and types. Each part may have `origin` and `default_fields` as well. *Default*: left out, the default
procedure's value counts. Instead of `name_ja` and `name_en`, an environment may have one `name`.

| field | value | required |
| --- | --- | --- |
"""
# Fields that each part has, and the two languages of a label.
EVERYWHERE = {"origin", "default_fields", "ja", "en"}
KEY = r"^[a-z][a-z0-9_]*$"
# From here on a limit only keeps the number inside its column.
NO_LIMIT = 1_000_000


def page() -> str:
    """Return the page in Markdown."""
    schema = Procedure.model_json_schema(mode="validation")
    rows = [f"| `{path}` | {value} | {needed} |" for path, value, needed in _rows(schema, schema["$defs"], "", {})]
    return HEAD + "\n".join(rows) + "\n"


def _rows(
    part: dict[str, Any], parts: dict[str, Any], before: str, described: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Yield path, value and whether it is required for each field of a part; a part is described once."""
    for name, field in part["properties"].items():
        if name in EVERYWHERE:
            continue
        needed = "yes" if name in part.get("required", ()) else "no"
        if before + name in SECTIONS or (needed == "yes" and before.removesuffix(".") in SECTIONS):
            needed = "default"
        if "anyOf" in field and (one := [one for one in field["anyOf"] if one.get("type") != "null"])[1:] == []:
            field = one[0]
        listed = field.get("type") == "array"
        inner, path = (field["items"], f"{before}{name}[]") if listed else (field, before + name)
        words = ["list" if "$ref" not in inner else "rows"] if listed else []
        least = [f"at least {field['minItems']}"] if field.get("minItems") else []
        reference = inner.get("$ref", "").rpartition("/")[2]
        if not reference or reference == "When":
            yield path, ", ".join([*words, "condition" if reference else _value(inner), *least]), needed
            continue
        row = parts[reference]
        own = row["properties"].keys() - EVERYWHERE
        words += ["label"] if "ja" in row["properties"] else []
        words += [f"as `{described[reference]}`"] if own - {"key"} and reference in described else []
        yield path, ", ".join([*words, *least]) or "table", needed
        if not own - {"key"} or described.setdefault(reference, path) == path:
            yield from _rows(row, parts, f"{path}.", described)


def _value(field: dict[str, Any]) -> str:
    """Return the type of a value and its limits in words."""
    if "anyOf" in field:
        return " or ".join(_value(one) for one in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]) if one != "")
    kind, pattern = field.get("type"), field.get("pattern", r"\S")
    if kind == "integer":
        least, most = field["minimum"], field["maximum"]
        return f"number {least}–{most:,}" if most < NO_LIMIT else f"number from {least}"
    if kind == "string" and field.get("format") != "date":
        limit = f" of at most {field['maxLength']:,} characters" if "maxLength" in field else ""
        word = "key" if pattern == KEY else "text"
        return f"{word}{limit}" + (f", `{pattern}`" if pattern not in (KEY, r"\S") else "")
    return {"string": "date", "boolean": "`true` or `false`", "object": "table"}[str(kind)]
