"""App configuration."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


def _add_shipped_roles(using: str, **_kwargs: Any) -> None:
    from environments.models.role import Role, shipped

    if Role._meta.db_table in connections[using].introspection.table_names():
        there = set(Role.objects.using(using).values_list("key", flat=True))
        for role in shipped():
            if role.key not in there:
                role.save(using=using, force_insert=True)


class EnvironmentsConfig(AppConfig):
    """The app of environments, accounts and access."""

    name = "environments"
    verbose_name = _("Environments")

    def ready(self) -> None:
        """Register the check for a second factor with signatures, and write new passkeys into the ledger."""
        from audit.admin.read_only import add_limit
        from audit.choices import check_choices
        from audit.signatures import add_assertion_check, add_signature_check
        from environments import passkeys  # noqa: F401  it listens
        from environments.admin.rights import shown_to
        from environments.signing import hold_authenticator, require_factor

        check_choices(self)
        # After the capture has been installed, so that each row has its event.
        post_migrate.connect(_add_shipped_roles, sender=self, dispatch_uid="environments.roles")
        add_signature_check(require_factor)
        add_assertion_check(hold_authenticator)
        add_limit(shown_to)
