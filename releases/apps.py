"""App configuration."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ReleasesConfig(AppConfig):
    """The app of releases, deployments and their operations."""

    name = "releases"
    verbose_name = _("Releases")

    def ready(self) -> None:
        """Install the database's own copy of the state machines after each migration; register the encrypted values."""
        from audit import guards
        from audit.choices import check_choices
        from environments.departures import add_departure_check
        from environments.operations.configuration.reencrypt import ELSEWHERE, Place
        from releases.gates.staffing import of_departure
        from releases.operations.notification_channel import reencrypt
        from releases.state_machines.guard import FUNCTION, install, triggers

        check_choices(self)
        add_departure_check(of_departure)
        ELSEWHERE[:] = [Place(reencrypt.texts, reencrypt.reencrypt)]

        post_migrate.connect(install, sender=self, dispatch_uid="releases.state_machines.guard")
        guards.BESIDE.append((FUNCTION, triggers))
