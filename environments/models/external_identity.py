"""Who an account is at the identity provider of the organisation, and the keys that the provider signs with."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models.account import Account


class ExternalIdentity(models.Model):
    """A person at an identity provider, connected by the person: issuer and subject (OpenID Connect Core 1.0, section
    2); by SAML `saml:` with the entity ID of the provider, and its lasting name of the person.

    Deleted when it ends; the ledger has it.
    """

    account = models.ForeignKey(Account, models.PROTECT, related_name="external_identities", verbose_name=_("account"))
    issuer = models.CharField(_("identity provider"), max_length=255)
    subject = models.CharField(_("subject"), max_length=255)
    # Whether the provider said at the connection that it had asked for a second factor (RINGI_…_SECOND_FACTOR).
    second_factor = models.BooleanField(_("with two-factor authentication"), default=False)
    connected_at = WrittenAtField(_("connected"), auto_now_add=True)
    LOCK_ORDER = 190

    class Meta:
        verbose_name = _("identity of single sign-on")
        verbose_name_plural = _("identities of single sign-on")
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="external_identity_of_one_account"),
            models.UniqueConstraint(fields=["issuer", "account"], name="external_identity_one_per_provider"),
        ]

    def __str__(self) -> str:
        return f"{self.account} · {self.issuer}"


class ProviderKey(models.Model):
    """A public key with which a provider signed a proof of identity that is kept, as a JSON Web Key (RFC 7517). Anybody
    with an export can check the proof with it.
    """

    issuer = models.CharField(_("identity provider"), max_length=255)
    # Ringi there: a statement to another client is none to Ringi.
    client = models.CharField(_("client"), max_length=255)
    key_id = models.CharField(_("key ID"), max_length=255)
    key = models.JSONField(_("public key"))
    seen_at = WrittenAtField(_("first seen"), auto_now_add=True)
    LOCK_ORDER = 165

    class Meta:
        verbose_name = _("key of an identity provider")
        verbose_name_plural = _("keys of identity providers")
        constraints = [models.UniqueConstraint(fields=["issuer", "client", "key_id", "key"], name="provider_key_once")]

    def __str__(self) -> str:
        return f"{self.issuer} · {self.key_id}"
