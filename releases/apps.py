"""App configuration."""

from typing import Any

from django.apps import AppConfig, apps
from django.db import connection
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


def _roles_of_the_procedure_in_effect(**_kwargs: Any) -> None:
    """Give the roles of a database from before roles were rows the names of its procedure."""
    from environments.models import Role
    from releases.models import Procedure
    from releases.operations.procedure.apply_roles import apply_roles

    there = {Role._meta.db_table, Procedure._meta.db_table} <= set(connection.introspection.table_names())
    active = Procedure.objects.filter(state="in_effect", key="").first() if there else None
    if active is not None and not Role.objects.exclude(names={}).exists():
        apply_roles(active.document)


class ReleasesConfig(AppConfig):
    """The app of releases, deployments and their operations."""

    name = "releases"
    verbose_name = _("Releases")

    def ready(self) -> None:
        """Install the database's own copy of the state machines after each migration; register the encrypted values."""
        from audit import guards
        from audit.choices import check_choices
        from audit.operation import messages
        from environments.departures import add_departure_check
        from environments.operations.configuration.reencrypt import ELSEWHERE, Place
        from releases.gates.staffing import of_departure
        from releases.models import erasure
        from releases.notifications.templates.events import KEYS
        from releases.operations.notification_channel import reencrypt
        from releases.state_machines.guard import FUNCTION, install, triggers
        from releases.telemetry import begin

        check_choices(self)
        begin()
        messages.update(KEYS)
        add_departure_check(of_departure)
        ELSEWHERE[:] = [Place(reencrypt.texts, reencrypt.reencrypt)]

        post_migrate.connect(install, sender=self, dispatch_uid="releases.state_machines.guard")
        # With the roles of environments, while the ledger still knows who migrates.
        environments = apps.get_app_config("environments")
        post_migrate.connect(_roles_of_the_procedure_in_effect, sender=environments, dispatch_uid="releases.roles")
        post_migrate.connect(erasure.install, sender=self, dispatch_uid="releases.models.erasure")
        guards.BESIDE.append((FUNCTION, triggers))
        guards.BESIDE.append((erasure.FUNCTION, dict))
