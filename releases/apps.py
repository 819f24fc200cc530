"""App configuration."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ReleasesConfig(AppConfig):
    """What changes, when and how."""

    name = "releases"
    verbose_name = _("Releases")

    def ready(self) -> None:
        """Install the database's own copy of the machines after each migration; judge the settings of targets; say
        where sealed values are.
        """
        from environments.actions.configuration.reseal import ELSEWHERE, Place
        from environments.actions.target.settings import judged_by
        from environments.departures import ask_of_departures
        from releases.actions.channel import reseal
        from releases.actions.target import schema
        from releases.actions.watch.set_sources import faults_in
        from releases.gates.headcount import of_departure
        from releases.machines.guard import install
        from releases.steps.http_call import faults_of_hosts

        ask_of_departures(of_departure)
        judged_by(faults_in)
        judged_by(faults_of_hosts)
        judged_by(schema.faults_in)
        ELSEWHERE[:] = [Place(reseal.texts, reseal.reseal)]

        post_migrate.connect(install, sender=self, dispatch_uid="releases.machines.guard")
