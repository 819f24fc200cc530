"""App configuration."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ReleasesConfig(AppConfig):
    """What changes, when and how."""

    name = "releases"
    verbose_name = _("Releases")

    def ready(self) -> None:
        """Install the database's own copy of the machines after each migration; say where sealed values are."""
        from audit import guards
        from environments.actions.configuration.reseal import ELSEWHERE, Place
        from environments.departures import ask_of_departures
        from releases.actions.channel import reseal
        from releases.gates.headcount import of_departure
        from releases.machines.guard import FUNCTION, install, triggers

        ask_of_departures(of_departure)
        ELSEWHERE[:] = [Place(reseal.texts, reseal.reseal)]

        post_migrate.connect(install, sender=self, dispatch_uid="releases.machines.guard")
        guards.BESIDE.append((FUNCTION, triggers))
