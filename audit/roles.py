"""The database's roles: what each may do to the ledger, and the guard against a process that could alter it.

`audit.capture.install` grants after each migration; web, scheduler and workers call `guard` as they start.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from django.core.management.base import CommandError

from audit.ledger.functions import APPLICATION_FUNCTIONS, LEDGER_SIGNER_FUNCTIONS, LEDGER_TABLES, OWNER_FUNCTIONS
from audit.operation_roles import OPERATIONS, Operations

# Tables that the processes write through functions alone, or never.
READ_ONLY = (*LEDGER_TABLES, "audit_operation_role")
# Digests, keys and sessions, by which somebody could sign in or undo the masking.
PRIVATE_TABLES = ("audit_digest_key", "audit_personal_key", "django_session", "mfa_authenticator")
PRIVATE_COLUMNS = {
    "environments_account": ("password", "invitation"),
    "environments_token": ("digest",),
    "environments_calendarfeed": ("digest",),
    "environments_configurationversion": ("encrypted",),
}
# Columns of a private table that each process reads: who has a second factor, which a deciding role needs.
SHOWN_COLUMNS = {"mfa_authenticator": "id, user_id, type"}
# Tables of approvals, access and rules: workers read them and never write them.
DECIDED_BY_PEOPLE = (
    "environments_account",
    "environments_account_groups",
    "environments_account_user_permissions",
    "environments_token",
    "environments_token_environments",
    "environments_environment",
    "environments_application",
    "environments_role",
    "environments_accessrule",
    "environments_accessgrant",
    "environments_accessrequest",
    "environments_accessreview",
    "environments_accessreviewitem",
    "environments_changewindow",
    "environments_changefreeze",
    "environments_holiday",
    "environments_calendarfeed",
    "environments_savedview",
    "environments_delegation",
    "environments_externalidentity",
    "environments_providerkey",
    "environments_grouprole",
    "environments_provisionedgroup",
    "environments_provisionedgroup_members",
    "environments_configurationversion",
    "environments_configurationcheck",
    "environments_deploymenttarget",
    "environments_requestedchange",
    "releases_procedure",
    "releases_deploymentprocess",
    "releases_definition",
    "releases_milestone",
    "releases_approvalrequest",
    "releases_approvaldecision",
    "releases_waiver",
    "releases_evidence",
    "releases_mergerequest",
    "releases_artefact",
    "releases_checklistitem",
    "releases_teammember",
    "releases_committeemeeting",
    "releases_committeemeeting_attendees",
    "releases_meetingdecision",
    "releases_finalcheck",
    "releases_emergencystop",
    "releases_erasure",
    "auth_group",
    "auth_group_permissions",
    "mfa_authenticator",
    "django_session",
    "audit_ledgerresumption",
    "audit_checkpointdelivery",
    "audit_closedyear",
)
# What else a process writes in them: how an approval request ended, and what a deployment or the time has brought
# about.
OWN_COLUMNS = {
    "worker": {
        "releases_approvalrequest": ("state", "ended_at"),
        "releases_milestone": ("done_at",),
        "releases_waiver": ("follow_up_id",),
    },
    "scheduler": {
        "environments_changewindow": ("cancelled_at",),
        "releases_approvalrequest": ("state", "ended_at", "invalidated_by"),
        "releases_finalcheck": ("invalidated_at",),
        "releases_milestone": ("reminded",),
    },
}
# Tables of records: no role of the product deletes a row, neither within the retention of the procedure nor after it.
KEPT = (
    "releases_release",
    "releases_deployment",
    "releases_stepattempt",
    "releases_rollback",
    "releases_evidence",
    "releases_approvalrequest",
    "releases_approvaldecision",
    "releases_notification",
    "releases_erasure",
    "environments_accessgrant",
    "environments_accessreview",
    "environments_accessreviewitem",
    "audit_verification",
    "audit_ledgerresumption",
    "audit_closedyear",
)
# Rows whose digests stand in events (audit.cover), and what is written on them later.
WRITTEN_ONCE = {
    "releases_stepoutput": "covered_by",
    "releases_measurement": "covered_by",
    "releases_monitoringcheck": "covered_by",
    "audit_outbox": "covered_by, sent_at",
}


@dataclass(frozen=True)
class Roles:
    """Names of roles; an empty one, one that does not exist and the owner itself are passed over.

    A process without a role of its own connects as the application's, which then may do what the process may.
    """

    application: str = ""
    worker: str = ""
    scheduler: str = ""
    ledger_signer: str = ""
    auditor: str = ""


class Cursor(Protocol):
    """The part of a database cursor that is needed here."""

    def execute(self, sql: Any, params: Any = None) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def fetchone(self) -> Any: ...


class ExcessivePrivileges(CommandError):
    """The role of this process could alter or bypass the ledger; the message says by what."""


def name(identifier: str) -> str:
    """Quote an SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def grant(cursor: Cursor, roles: Roles, operations: Operations = OPERATIONS) -> None:
    """Give each role its rights, and take what it had beyond them; the ledger is read and appended to, never more."""
    cursor.execute("SELECT current_schema()::text, to_regclass('django_migrations') IS NOT NULL")
    schema, migrated = cursor.fetchone()
    role_of = _role_of(cursor, roles)
    owner, web, signs = role_of["owner"], role_of["web"], role_of["ledger_signer"]
    # The owner would lose the rights of the functions.
    for role in sorted({web, role_of["worker"], role_of["scheduler"]} - {owner}):
        _writes(cursor, name(schema), name(role), migrated)
        for table in _present(cursor, WRITTEN_ONCE):
            cursor.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {name(role)}")
            cursor.execute(f"GRANT UPDATE ({WRITTEN_ONCE[table]}) ON {table} TO {name(role)}")
        _each(cursor, "REVOKE DELETE ON {} FROM " + name(role), _present(cursor, KEPT))
        cursor.execute("SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relname ~ '_historical'")
        _each(cursor, "REVOKE UPDATE, DELETE ON {} FROM " + name(role), [table for (table,) in cursor.fetchall()])
        if role != signs:
            _each(cursor, "REVOKE ALL ON FUNCTION {} FROM " + name(role), LEDGER_SIGNER_FUNCTIONS)
        if role != web:
            _decides_nothing(cursor, name(role))
    # Workers run the programs of releases; they write no events about the ledger, about observations or for the
    # scheduler.
    if (worker := role_of["worker"]) not in (owner, web, role_of["scheduler"]):
        said = _present(cursor, ["audit_verification", "audit_reconciliation", "releases_fact", "releases_heartbeat"])
        _each(cursor, "REVOKE INSERT, UPDATE, DELETE ON {} FROM " + name(worker), said)
    for process, tables in OWN_COLUMNS.items():
        if role_of[process] not in (owner, web):
            for table in _present(cursor, tables):
                columns = ", ".join(tables[table])
                cursor.execute(f"GRANT UPDATE ({columns}) ON {table} TO {name(role_of[process])}")
    if signs not in (owner, web):
        _grant_ledger_signer(cursor, name(schema), name(signs))
    if signs != owner:
        _each(cursor, "GRANT EXECUTE ON FUNCTION {} TO " + name(signs), LEDGER_SIGNER_FUNCTIONS)
    if roles.auditor not in (owner, "") and _existing(cursor, [roles.auditor]):
        _auditor(cursor, name(schema), name(roles.auditor))
    cursor.execute("DELETE FROM audit_operation_role")
    pairs = permitted(cursor, roles, operations)
    cursor.execute(
        "INSERT INTO audit_operation_role SELECT unnest(%s::text[]), unnest(%s::text[])",
        [[operation for operation, _role in pairs], [role for _operation, role in pairs]],
    )


def permitted(cursor: Cursor, roles: Roles, operations: Operations = OPERATIONS) -> set[tuple[str, str]]:
    """Return what the table of operations and roles must hold."""
    role_of = _role_of(cursor, roles)
    return {(operation, role_of[process]) for operation, processes in operations.items() for process in processes}


def _role_of(cursor: Cursor, roles: Roles) -> dict[str, str]:
    """Return the database role of each process: its own where there is one, else the application's, else the
    owner's.
    """
    cursor.execute("SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = 'audit_event'::regclass")
    (owner,) = cursor.fetchone()
    own = {"worker": roles.worker, "scheduler": roles.scheduler, "ledger_signer": roles.ledger_signer}
    there = _existing(cursor, [roles.application, *own.values()])
    web = roles.application if roles.application in there else owner
    return {"owner": owner, "web": web} | {process: role if role in there else web for process, role in own.items()}


def _existing(cursor: Cursor, roles: list[str]) -> set[str]:
    cursor.execute("SELECT rolname::text FROM pg_roles WHERE rolname = ANY (%s::text[])", [roles])
    return {role for (role,) in cursor.fetchall()}


def _decides_nothing(cursor: Cursor, to: str) -> None:
    """Take from a role the tables that people decide by."""
    _each(cursor, "REVOKE INSERT, UPDATE, DELETE ON {} FROM " + to, _present(cursor, DECIDED_BY_PEOPLE))
    # The right to update a column is the right to lock the row; the key is never updated.
    lockable = set(DECIDED_BY_PEOPLE) - {"mfa_authenticator", "django_session"}
    _each(cursor, "GRANT UPDATE (id) ON {} TO " + to, _present(cursor, sorted(lockable)))
    _hides(cursor, to)


def _hides(cursor: Cursor, to: str) -> None:
    """Take the private tables from a role, but for what each process must know of them."""
    _each(cursor, "REVOKE ALL ON {} FROM " + to, _present(cursor, PRIVATE_TABLES))
    for table in _present(cursor, SHOWN_COLUMNS):
        cursor.execute(f"GRANT SELECT ({SHOWN_COLUMNS[table]}) ON {table} TO {to}")


def _present(cursor: Cursor, tables: Any) -> list[str]:
    cursor.execute("SELECT t FROM unnest(%s::text[]) AS t WHERE to_regclass(t) IS NOT NULL", [list(tables)])
    return [table for (table,) in cursor.fetchall()]


def _each(cursor: Cursor, statement: str, names: Any) -> None:
    for one in names:
        cursor.execute(statement.format(one))


def _writes(cursor: Cursor, schema: str, to: str, migrated: bool) -> None:
    ledger = ", ".join(READ_ONLY)
    for statement in (
        f"GRANT USAGE ON SCHEMA {schema} TO {to}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {to}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {to}",
        f"REVOKE ALL ON {ledger}, audit_digest_key, audit_personal_key FROM {to}",
        f"GRANT SELECT ON {ledger} TO {to}",
    ):
        cursor.execute(statement)
    _each(cursor, "GRANT EXECUTE ON FUNCTION {} TO " + to, APPLICATION_FUNCTIONS)
    _each(cursor, "REVOKE ALL ON FUNCTION {} FROM " + to, OWNER_FUNCTIONS)
    cursor.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE proname ~ '^ringi_row_.*_(personal|history)$'"
        " AND pronamespace = current_schema()::regnamespace"
    )
    _each(cursor, "GRANT EXECUTE ON FUNCTION {} TO " + to, [function for (function,) in cursor.fetchall()])
    if migrated:
        cursor.execute(f"REVOKE ALL ON django_migrations FROM {to}")
        cursor.execute(f"GRANT SELECT ON django_migrations TO {to}")


def _grant_ledger_signer(cursor: Cursor, schema: str, to: str) -> None:
    """The ledger signer reads the ledger, the approval to go on and the addresses; it writes through functions
    alone.
    """
    cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {to}")
    cursor.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {to}")
    readable = (*READ_ONLY, "audit_ledgerresumption", "audit_checkpointdelivery")
    _each(cursor, "GRANT SELECT ON {} TO " + to, _present(cursor, readable))
    _each(cursor, "GRANT EXECUTE ON FUNCTION {} TO " + to, APPLICATION_FUNCTIONS)
    _each(cursor, "REVOKE ALL ON FUNCTION {} FROM " + to, OWNER_FUNCTIONS)


def _auditor(cursor: Cursor, schema: str, to: str) -> None:
    """Let an auditor's own tools read everything but credentials, and write nothing."""
    cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {to}")
    cursor.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {to}")
    cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {to}")
    _hides(cursor, to)
    for table in _present(cursor, PRIVATE_COLUMNS):
        cursor.execute(f"REVOKE ALL ON {table} FROM {to}")
        cursor.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attname <> ALL (%s::name[])",
            [table, list(PRIVATE_COLUMNS[table])],
        )
        (columns,) = cursor.fetchone()
        cursor.execute(f"GRANT SELECT ({columns}) ON {table} TO {to}")


# Each line: what the role could do, and the query that tells it for the role of the session.
_DANGERS = (
    ("is a superuser", "SELECT rolsuper FROM pg_roles WHERE rolname = session_user"),
    (
        "may become a superuser, write all tables or make roles",
        "SELECT EXISTS (SELECT FROM pg_roles r WHERE (r.rolsuper OR r.rolcreaterole OR r.rolbypassrls OR r.rolname IN"
        " ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files'))"
        " AND pg_has_role(session_user, r.oid, 'MEMBER'))",
    ),
    (
        "owns, or may become the owner of, a table, a function or the schema of the ledger",
        "SELECT EXISTS (SELECT FROM pg_class c WHERE c.oid = ANY (%(tables)s::regclass[])"
        " AND pg_has_role(session_user, c.relowner, 'MEMBER'))"
        " OR EXISTS (SELECT FROM pg_proc p WHERE p.proname LIKE 'ringi\\_%%'"
        " AND pg_has_role(session_user, p.proowner, 'MEMBER'))"
        " OR EXISTS (SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgname = 'ringi_capture'"
        " AND pg_has_role(session_user, c.relowner, 'MEMBER'))"
        " OR EXISTS (SELECT FROM pg_database d WHERE d.datname = current_database()"
        " AND pg_has_role(session_user, d.datdba, 'MEMBER'))",
    ),
    (
        "may write a table of the ledger",
        "SELECT bool_or(has_table_privilege(session_user, t, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER'))"
        " OR bool_or(has_any_column_privilege(session_user, t, 'INSERT, UPDATE'))"
        " FROM unnest(%(tables)s::regclass[]) AS t",
    ),
    (
        "may hang triggers on, or empty, an audited table",
        "SELECT coalesce(bool_or(has_table_privilege(session_user, t.tgrelid, 'TRUNCATE, TRIGGER')), false)"
        " FROM pg_trigger t WHERE t.tgname = 'ringi_capture'",
    ),
    (
        "may read the key of secret columns or of personal ones",
        "SELECT bool_or(has_table_privilege(session_user, to_regclass(t), 'SELECT, INSERT, UPDATE, DELETE'))"
        " FROM unnest('{audit_digest_key,audit_personal_key}'::text[]) AS t",
    ),
    (
        "may make objects in the schema of the ledger",
        "SELECT has_schema_privilege(session_user, current_schema(), 'CREATE')",
    ),
    (
        "may set session_replication_role",
        "SELECT has_parameter_privilege(session_user, 'session_replication_role', 'SET')",
    ),
)


def dangers(connection: Any) -> list[str]:
    """Return how the role of a connection could alter or bypass the ledger; empty when it could not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE oid = to_regclass('audit_digest_key')")
        if not cursor.fetchone()[0]:
            return []  # nothing there yet; the process will find no tables
        found = []
        for what, query in _DANGERS:
            cursor.execute(query, {"tables": list(READ_ONLY)})
            if cursor.fetchone()[0]:
                found.append(what)
        return found


def require_harmless(connection: Any) -> None:
    """Raise `ExcessivePrivileges` when the role of a connection could alter or bypass the ledger."""
    if found := dangers(connection):
        with connection.cursor() as cursor:
            cursor.execute("SELECT session_user::text")
            (role,) = cursor.fetchone()
        raise ExcessivePrivileges(
            f"the database role {role} {', and '.join(found)}: give the process the application's role"
        )


def guard() -> None:
    """Ask every connection of this process before its first statement; a harmful role gets none.

    A schema that is not the code's own gets none either. Now, when the database answers, so that the process does not
    start; else as soon as it does. Raises `ExcessivePrivileges` or `WrongSchema`.
    """
    from django.db import OperationalError, connection
    from django.db.backends.signals import connection_created

    connection_created.connect(_ask, dispatch_uid="audit.roles.guard")
    try:
        connection.close()
        connection.ensure_connection()
        connection.close()
    except OperationalError:
        return


def _ask(connection: Any, **_kwargs: Any) -> None:
    from audit.schema import require_own_schema

    try:
        require_harmless(connection)
        require_own_schema()
    except CommandError:
        connection.close()
        raise
