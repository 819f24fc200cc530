"""Comparison of the installed triggers and functions with the code, and of the database's tables with the lists.

audit/verification.py calls it. Dropping, disabling or recreating a trigger leaves no event, and neither do the changes
that it then misses. The same holds of an altered function, and of a trigger, rule or policy that swallows a statement.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from audit.audited_tables import NOT_AUDITED, is_history
from audit.capture import SQL, AuditedTable, Uncapturable, capture_function, functions_of_personal, triggers as captures
from audit.ledger.functions import APPLICATION_FUNCTIONS, LEDGER_SIGNER_FUNCTIONS, OWNER_FUNCTIONS
from audit.ledger.row_function import function_name
from audit.operation_roles import OPERATIONS, Operations
from audit.roles import Roles, permitted
from audit.triggers import Expected, standing

# What another app installs beside it: the SQL of its functions, and what stands on which table under which name.
Beside = tuple[str, Callable[[], dict[tuple[str, str], Expected]]]
BESIDE: list[Beside] = []
STATES = {"D": "is disabled", "O": "is not enabled always", "R": "is not enabled always"}

# A function of pg_catalog goes before one of the schema, whatever the search_path; and one of the schema that takes
# just these types goes before one of pg_catalog that takes any. Those of extensions are passed over.
_FUNCTIONS = """
SELECT p.proname::text, p.proname || '(' || oidvectortypes(p.proargtypes) || ')', l.lanname::text, p.prosecdef,
       coalesce(p.proconfig, '{}'), p.prosrc, p.pronamespace = e.relnamespace AND p.proowner = e.relowner,
       concat_ws(' ', pg_get_function_arguments(p.oid), p.provolatile, p.proisstrict)
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
JOIN pg_class e ON e.relname = 'audit_event' AND e.relnamespace = current_schema()::regnamespace
WHERE p.proname = ANY (%s) AND p.pronamespace = 'pg_catalog'::regnamespace
    OR p.pronamespace = e.relnamespace AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype =
      'e')
ORDER BY 2
"""
_MORE = """
SELECT c.relname::text, more.what FROM pg_class c, LATERAL (
    SELECT 'a rule ' || rulename FROM pg_rewrite WHERE ev_class = c.oid
    UNION ALL SELECT 'a policy ' || polname FROM pg_policy WHERE polrelid = c.oid
    UNION ALL SELECT 'row security' WHERE c.relrowsecurity
    UNION ALL SELECT 'a table that inherits from it, ' || inhrelid::regclass FROM pg_inherits WHERE inhparent = c.oid
) AS more(what)
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace ORDER BY 1, 2
"""
_OPERATORS = """
SELECT o.oid::regoperator::text FROM pg_operator o WHERE o.oprnamespace = current_schema()::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e') ORDER BY 1
"""
_TABLES = """
SELECT CASE c.relnamespace WHEN current_schema()::regnamespace THEN c.relname ELSE n.nspname || '.' || c.relname END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1
"""


def faults(
    connection: Any,
    audited: Iterable[AuditedTable],
    table_of: Callable[[str], str],
    roles: Roles = Roles(),  # noqa: B008
    operations: Operations = OPERATIONS,
    beside: Iterable[Beside] = (),
) -> list[str]:
    """Return the differences from what was installed, each as `table: what`; empty when there are none.

    beside: what other apps installed (`BESIDE`), where they are there.
    """
    with connection.cursor() as cursor:
        there = standing(cursor)
        found, tables, functions = list[str](), set(NOT_AUDITED), SQL
        captured = list[str]()
        for one in audited:
            table = table_of(one.model)
            tables.add(table)
            try:
                functions += capture_function(cursor, one, table)
                functions += "".join(functions_of_personal(cursor, one, table).values())
            except Uncapturable as fault:
                found.append(str(fault))
                continue
            captured.append(table)
        expected = captures(captured)
        for sql, triggers in beside:
            functions += sql
            expected |= triggers()
        for (table, trigger), wanted in expected.items():
            found += _compared(there, table, trigger, wanted)
        for table, trigger in sorted(there.keys() - expected.keys()):
            if table in tables or is_history(table):
                found.append(f"{table}: there is a trigger {trigger} that was not installed here")
        return [*found, *_functions(cursor, functions), *_more(cursor, tables), *_operations(cursor, roles, operations)]


def _compared(
    there: dict[tuple[str, str], tuple[str, Expected, bool]], table: str, trigger: str, expected: Expected
) -> Iterator[str]:
    if (table, trigger) not in there:
        yield f"{table}: there is no trigger {trigger}"
        return
    enabled, found, plain = there[table, trigger]
    if enabled != "A":
        yield f"{table}: trigger {trigger} {STATES[enabled]}"
    if found != expected or not plain:
        yield f"{table}: trigger {trigger} is not as it was installed"


def _installed(installed: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the name of each function that is installed, and what `_FUNCTIONS` must say of it."""
    signatures = {
        one.partition("(")[0]: one for one in APPLICATION_FUNCTIONS + LEDGER_SIGNER_FUNCTIONS + OWNER_FUNCTIONS
    }
    for function, head, body in re.findall(
        r"CREATE OR REPLACE FUNCTION (\w+)\(([^$]*)AS \$\$(.*?)\$\$;", installed, re.DOTALL
    ):
        (language,) = re.findall(r"LANGUAGE (\w+)", head)
        settings = {(key, value.strip("'")) for key, value in re.findall(r"SET (\w+) = (.*?)(?= SET |\n)", head)}
        given, _, rest = head.partition(")")
        shape = [" ".join(given.split()), "i" if "IMMUTABLE" in rest else "s" if "STABLE" in rest else "v", "f"]
        named = signatures.get(function, f"{function}({given.strip()})")
        yield function, (named, language, "SECURITY DEFINER" in head, settings, body, True, " ".join(shape))


def _functions(cursor: Any, sql: str) -> Iterator[str]:
    installed = dict(_installed(sql))
    cursor.execute(_FUNCTIONS, [list(installed)])
    standing: dict[str, list[tuple[Any, ...]]] = {function: [] for function in installed}
    for function, signature, language, definer, options, *rest in cursor.fetchall():
        if function not in installed:
            if function.startswith(function_name("")):
                continue  # of a table of an app that is not installed here; no trigger of another table may call it
            yield f"function {signature} was not installed here"
            continue
        pairs = (option.partition("=") for option in options)
        settings = {(key.lower(), value) for key, _, value in pairs}  # PostgreSQL writes TimeZone
        standing[function].append((signature, language, definer, settings, *rest))
    for function, wanted in installed.items():
        if wanted not in standing[function]:
            yield f"function {function} is not as it was installed"
        if len(standing[function]) > 1:
            yield f"function {function} is there {len(standing[function])} times"


def _more(cursor: Any, tables: set[str]) -> Iterator[str]:
    cursor.execute(_MORE)
    for table, what in cursor.fetchall():
        if table in tables or is_history(table):
            yield f"{table}: there is {what}"
    cursor.execute(_OPERATORS)
    for (operator,) in cursor.fetchall():
        yield f"operator {operator} was not installed here"


def _operations(cursor: Any, roles: Roles, operations: Operations) -> Iterator[str]:
    cursor.execute("SELECT operation, role::text FROM audit_operation_role")
    standing, declared = set(cursor.fetchall()), permitted(cursor, roles, operations)
    for operation, role in sorted(standing ^ declared):
        may = "may not" if (operation, role) in declared else "may"
        yield f"audit_operation_role: {role} {may} cause {operation}, which is not as it was declared"


def strangers(connection: Any, audited: Iterable[AuditedTable], table_of: Callable[[str], str]) -> list[str]:
    """Return the tables that are in no list, neither of audited ones nor of exceptions."""
    known = {table_of(one.model) for one in audited} | set(NOT_AUDITED)
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        return [table for (table,) in cursor.fetchall() if table not in known and not is_history(table)]
