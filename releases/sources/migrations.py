"""Reads migrations for irreversible steps, before anyone approves them: Django's and plain SQL.

Nothing is executed. An unreadable step is `unknown`, never harmless.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

# one_way: there is no reverse. loses: a reverse brings no data back. unknown: reading does not show it.
Effect = Literal["one_way", "loses", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One irreversible or unknown step of a migration: what it is, on which line, and its effect."""

    what: str
    line: int
    effect: Effect


# Django's operations with a complete reverse (Django 6.1, django.db.migrations.operations).
REVERSIBLE = frozenset(
    {
        "CreateModel",
        "RenameModel",
        "AlterModelTable",
        "AlterModelTableComment",
        "AlterUniqueTogether",
        "AlterIndexTogether",
        "AlterOrderWithRespectTo",
        "AlterModelOptions",
        "AlterModelManagers",
        "AddField",
        "RenameField",
        "AddIndex",
        "RemoveIndex",
        "RenameIndex",
        "AddConstraint",
        "RemoveConstraint",
        "AlterConstraint",
        "AddIndexConcurrently",
        "RemoveIndexConcurrently",
        "AddConstraintNotValid",
        "ValidateConstraint",
        "CreateExtension",
        "CreateCollation",
        "RemoveCollation",
    }
)
LOSING = {"DeleteModel": "loses", "RemoveField": "loses", "AlterField": "unknown"}
# SQL statements that delete or overwrite data; the rest of a file is taken to add.
_SQL: tuple[tuple[str, Effect], ...] = (
    (r"drop\s+(?:foreign\s+)?table\b", "loses"),
    (r"drop\s+materialized\s+view\b", "loses"),
    (r"drop\s+(?:schema|database|owned)\b", "loses"),
    (r"drop\s+(?:type|domain|extension|sequence)\b", "loses"),
    (r"truncate\b", "loses"),
    (r"delete\s+from\b", "loses"),
    (r"update\s+(?:only\s+)?[\w.\"]+(?:\s+(?:as\s+)?\w+)?\s+set\b", "loses"),
    (r"merge\s+into\b", "loses"),
    (r"insert\s+into\b.*\bon\s+conflict\b.*\bdo\s+update\b", "loses"),
    (r"alter\s+table\b.*\bdrop\s+(?!constraint\b|default\b|not\s+null\b|expression\b|identity\b)", "loses"),
    (r"alter\s+table\b.*\balter\s+(?:column\s+)?[\w\"]+\s+(?:set\s+data\s+)?type\b", "unknown"),
    (r"alter\s+type\b.*\b(?:add\s+value|drop\s+attribute)\b", "one_way"),
    (r"(?:do\b|call\b|execute\b|copy\b|\\)", "unknown"),
)
SQL = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), effect) for pattern, effect in _SQL)
# Text to ignore: comments, quoted texts, dollar quotes. Defining a function does not run its body.
_HIDDEN = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$", re.DOTALL)


def is_migration(path: str) -> bool:
    """Tell whether a path is a migration: a Python or SQL file in a folder `migrations`; not a reverse one."""
    parts = PurePosixPath(path)
    if "migrations" not in parts.parts[:-1] or parts.name == "__init__.py":
        return False
    return parts.suffix in (".py", ".sql") and not re.search(r"[._](?:down|back|revert|undo)\.sql$", path)


def findings(path: str, text: str | None) -> list[Finding]:
    """Return the irreversible parts of a migration; `text` None: it could not be read."""
    if text is None:
        return [Finding("cannot be read", 0, "unknown")]
    found = _of_python(text) if path.endswith(".py") else list(_of_sql(text))
    return sorted(found, key=lambda finding: (finding.line, finding.what))


def report(files: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return, for each migration by path, `{"path", "findings": [{"what", "line", "effect"}]}`, for the record."""
    return [{"path": path, "findings": [asdict(f) for f in findings(path, text)]} for path, text in files.items()]


def _of_sql(text: str, line: int = 1) -> Iterator[Finding]:
    shown = _HIDDEN.sub(lambda hidden: "\n" * hidden[0].count("\n") + " ", text)
    at = 0
    for statement in shown.split(";"):
        begin = at + len(statement) - len(statement.lstrip())
        at += len(statement) + 1
        words = statement.strip()
        for pattern, effect in SQL:
            if pattern.match(words) or (not pattern.pattern.startswith("(?:do") and _inside_with(pattern, words)):
                yield Finding(" ".join(words.split())[:120], line + shown.count("\n", 0, begin), effect)
                break


def _inside_with(pattern: re.Pattern[str], words: str) -> bool:
    """A writing statement may be inside `WITH … AS ( … )`, and behind EXPLAIN ANALYZE."""
    return bool(
        re.match(r"(?:with|explain)\b", words, re.IGNORECASE)
        and re.search(r"\b" + pattern.pattern, words, pattern.flags)
    )


def _of_python(text: str) -> list[Finding]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return [Finding("is no Python that can be read", 0, "unknown")]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Migration"]
    if not classes:
        return [Finding("a program, not a list of operations", 1, "unknown")]
    found: list[Finding] = []
    for node in classes[-1].body:
        names = _names(node)
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if "operations" in names:
            found += _of_operations(value)
        elif isinstance(node, ast.FunctionDef):
            found.append(Finding(f"def {node.name}", node.lineno, "unknown"))
    if not any("operations" in _names(node) for node in classes[-1].body):
        found.append(Finding("has no list of operations", classes[-1].lineno, "unknown"))
    return found


def _names(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _of_operations(value: ast.expr | None) -> list[Finding]:
    if not isinstance(value, ast.List | ast.Tuple):
        return [Finding("operations are computed", getattr(value, "lineno", 0), "unknown")]
    found: list[Finding] = []
    for entry in value.elts:
        found += _of_operation(entry)
    return found


def _of_operation(entry: ast.expr) -> list[Finding]:
    if not isinstance(entry, ast.Call):
        return [Finding("an operation is computed", entry.lineno, "unknown")]
    name = entry.func.attr if isinstance(entry.func, ast.Attribute) else getattr(entry.func, "id", "?")
    given = {keyword.arg: keyword.value for keyword in entry.keywords}
    match name:
        case "RunPython":
            reverse = entry.args[1] if len(entry.args) > 1 else given.get("reverse_code")
            return _of_reverse(name, entry, reverse)
        case "RunSQL":
            reverse = entry.args[1] if len(entry.args) > 1 else given.get("reverse_sql")
            forward = entry.args[0] if entry.args else given.get("sql")
            return [*_of_reverse(name, entry, reverse), *_of_text(forward)]
        case "SeparateDatabaseAndState":
            inner = entry.args[0] if entry.args else given.get("database_operations")
            return _of_operations(inner) if inner is not None else []
    if name in REVERSIBLE:
        return []
    subject = next((e.value for e in [*entry.args, *given.values()] if isinstance(e, ast.Constant)), "")
    field = [e.value for e in [*entry.args[1:2], given.get("name")] if isinstance(e, ast.Constant)]
    words = f"{name} {'.'.join(dict.fromkeys(map(str, [subject, *field[-1:]])))}".strip()
    effect: Any = LOSING.get(name, "unknown")
    return [Finding(words, entry.lineno, effect)]


def _of_reverse(name: str, entry: ast.Call, reverse: ast.expr | None) -> list[Finding]:
    if reverse is None or (isinstance(reverse, ast.Constant) and reverse.value is None):
        return [Finding(f"{name} without a reverse", entry.lineno, "one_way")]
    if isinstance(reverse, ast.Attribute) and reverse.attr == "noop":
        return [Finding(f"{name} whose reverse does nothing", entry.lineno, "loses")]
    return []


def _of_text(value: ast.expr | None) -> list[Finding]:
    """Read the SQL of an operation that is written as text."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return list(_of_sql(value.value, value.lineno))
    if isinstance(value, ast.List | ast.Tuple):
        return [finding for part in value.elts for finding in _of_text(part)]
    return [Finding("SQL that is computed", getattr(value, "lineno", 0), "unknown")]
