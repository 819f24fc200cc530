"""App configuration."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EnvironmentsConfig(AppConfig):
    """What runs where, and who may."""

    name = "environments"
    verbose_name = _("Environments")

    def ready(self) -> None:
        """Let the operation ask of each signature whether it needs a second factor, and the ledger learn of new passkeys."""
        from audit.operation import add_signature_check
        from environments import passkeys  # noqa: F401  it listens
        from environments.signing import require_factor

        add_signature_check(require_factor)
