"""App configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EnvironmentsConfig(AppConfig):
    """The app of environments, accounts and access."""

    name = "environments"
    verbose_name = _("Environments")

    def ready(self) -> None:
        """Register the check for a second factor with signatures, and write new passkeys into the ledger."""
        from audit.choices import check_choices
        from audit.operation import add_signature_check
        from environments import passkeys  # noqa: F401  it listens
        from environments.signing import require_factor

        check_choices(self)
        add_signature_check(require_factor)
