"""The audit app: installs the capture of the ledger after each migration, and names who migrates."""

import re
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import connections, transaction
from django.db.models import ManyToManyField
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _

_ALTERED = re.compile(r'^\s*ALTER TABLE "?(\w+)"? (?!ENABLE|DISABLE)', re.MULTILINE)


def table_of(label: str) -> str:
    """Return the table of `app.Model`, or of the many-to-many field `app.Model.field`."""
    app, model, *field = label.split(".")
    found = apps.get_model(app, model)
    if not field:
        return found._meta.db_table
    relation = found._meta.get_field(field[0])
    if not isinstance(relation, ManyToManyField):
        raise LookupError(f"{label} is not a many-to-many field")
    return relation.m2m_db_table()


def _begin_migration(using: str, **_kwargs: Any) -> None:
    # Data migrations and Django's own permissions write into audited tables, outside any operation.
    from audit.actor import Actor
    from audit.capture import set_context
    from audit.schema import refuse_0_1

    refuse_0_1()
    actor = Actor(account_id=None, name="migrate", kind="command", channel="command")
    set_context(actor, operation="audit:migrate", connection=connections[using], whole_session=True)
    with connections[using].cursor() as cursor:
        # Behind a lock that waits for a long reader, each request of a running Ringi would wait too.
        cursor.execute("SET lock_timeout = '5s'")
    if _follow not in connections[using].execute_wrappers:
        connections[using].execute_wrappers.append(_follow)


def _follow(execute: Any, statement: Any, params: Any, many: bool, context: Any) -> Any:
    """Capture the new columns of a table at once: a later migration of the same run may fill them."""
    from audit.audited_tables import AUDITED_TABLES
    from audit.capture import follow

    answer = execute(statement, params, many, context)
    for table in _ALTERED.findall(str(statement)):
        for audited in AUDITED_TABLES:
            if table_of(audited.model) == table:
                with context["connection"].cursor() as cursor:
                    follow(cursor, audited, table)
    return answer


def install_capture(using: str, **_kwargs: Any) -> None:
    """Make the ledger capture every audited table that there is; a migration calls it before it fills a new one."""
    from audit import capture
    from audit.audited_tables import AUDITED_TABLES
    from audit.roles import Roles

    tables = set(connections[using].introspection.table_names())
    if "audit_event" not in tables:
        return  # migrated backwards to nothing
    # Tables of apps that are not migrated yet come with the next run; a wrong label raises LookupError here.
    there = [audited for audited in AUDITED_TABLES if table_of(audited.model) in tables]
    with transaction.atomic(using=using):
        capture.install(connections[using], there, table_of, Roles(**settings.DATABASE_ROLES))


def _forget_who_migrates(sender: AppConfig, using: str, **_kwargs: Any) -> None:
    from audit.capture import clear_context

    if sender is [config for config in apps.get_app_configs() if config.models_module is not None][-1]:
        clear_context(connections[using])
        with connections[using].cursor() as cursor:
            cursor.execute("RESET lock_timeout")
        if _follow in connections[using].execute_wrappers:
            connections[using].execute_wrappers.remove(_follow)


class AuditConfig(AppConfig):
    """The app of the ledger; it imports no other app."""

    name = "audit"
    verbose_name = _("Audit")

    def ready(self) -> None:
        """Hook the capture to migrations."""
        pre_migrate.connect(_begin_migration, dispatch_uid="audit.begin_migration")
        post_migrate.connect(install_capture, sender=self, dispatch_uid="audit.install")
        post_migrate.connect(_forget_who_migrates, dispatch_uid="audit.forget_who_migrates")
