"""The user model for people and services, and the tokens of service accounts."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Container
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Lower
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.one_look import once_a_look
from audit.snapshots import Snapshots

# What counts as a second factor of one's own; recovery codes only stand in for one.
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def sign_in_name(text: str) -> str:
    """Return a sign-in name as it is compared and counted: NFKC, without invisible characters, case folded.

    Full-width letters, capitals and null bytes do not make a second name, neither of an account nor for the lock-out.
    """
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in ("Cc", "Cf"))
    return unicodedata.normalize("NFKC", visible.casefold()).strip()


class Account(AbstractUser):
    """A person or a service. No account is a superuser, who would pass every check without being checked."""

    class Kind(models.TextChoices):
        PERSON = "person", _("Person")
        SERVICE = "service", _("Service account")

    # How the keys of persons begin; no Git address begins so.
    PERSON_KEYS = ("employee:", "account:")
    kind = models.CharField(_("type"), max_length=8, choices=Kind, default=Kind.PERSON)
    display_name = models.CharField(_("full name"), max_length=100)
    affiliation = models.CharField(_("affiliation"), max_length=100, blank=True)
    job_title = models.CharField(_("job title"), max_length=100, blank=True)
    employee_id = models.CharField(_("employee ID"), max_length=40, blank=True)
    git_addresses = models.JSONField(_("git addresses"), default=list, blank=True)
    former_identities = models.JSONField(_("former git addresses and employee IDs"), default=list, blank=True)
    # What an erasure leaves of them: without these keys, one person could count as two.
    kept_identities = models.JSONField(
        _("employee IDs kept after an erasure"), default=list, db_default=[], blank=True, editable=False
    )
    telephone = models.CharField(_("telephone"), max_length=40, blank=True)
    language = models.CharField(_("language"), max_length=2, default="ja")
    # For the day on which people cannot sign in as always, such as while the identity provider is down. Its use alarms.
    break_glass = models.BooleanField(_("break-glass account"), default=False)
    quiet_from = models.TimeField(_("quiet hours start"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet hours end"), null=True, blank=True)
    # Whether the identity provider keeps this account by SCIM, under which externalId; enrolled_before: whether it ever
    # enrolled. Only until then does a sign-in at the provider whose subject is the externalId enrol the person.
    provisioned = models.BooleanField(_("kept by the identity provider"), default=False)
    external_id = models.CharField(_("external ID"), max_length=255, blank=True)
    enrolled_before = models.BooleanField(_("has enrolled before"), default=False)
    # SHA-256 of the secret in a link that opens once, who issued it (None: a command on the server), and until when.
    invitation = models.CharField(_("invitation"), max_length=64, blank=True)
    invited_by: models.ForeignKey[Any, Any] = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("invited by")
    )
    invited_until = models.DateTimeField(_("invitation valid until"), null=True, blank=True)
    enrolled_at = models.DateTimeField(_("enrolled at"), null=True, blank=True)
    date_joined = WrittenAtField(_("created"), auto_now_add=True)
    history = Snapshots(excluded_fields=["password", "invitation", "last_login"])
    LOCK_ORDER = 1

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints = [
            models.CheckConstraint(condition=models.Q(is_superuser=False), name="account_no_superuser"),
            models.UniqueConstraint(Lower("username"), name="account_username_once"),
            models.UniqueConstraint(
                fields=["external_id"],
                condition=models.Q(provisioned=True) & ~models.Q(external_id=""),
                name="account_external_id_once",
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def person_key(self) -> str:
        """Return what counts as one person: the employee id where there is one, else the account.

        Ids that only look different (full width, case, spaces, invisible characters) are one.
        """
        employee = sign_in_name(self.employee_id)
        employed, own = self.PERSON_KEYS
        return f"{employed}{employee}" if employee else f"{own}{self.pk}"

    @property
    def kept_by_provider(self) -> bool:
        """Tell whether SCIM may change it, as KEPT_BY_PROVIDER says."""
        return self.provisioned and not self.break_glass and self.kind == self.Kind.PERSON

    @property
    def must_enrol(self) -> bool:
        """Tell whether it is a person's who has not enrolled yet."""
        return self.kind == self.Kind.PERSON and self.enrolled_at is None

    @property
    def own_keys(self) -> frozenset[str]:
        """Return the keys that this account itself has: under which it counts, and counted before an edit."""
        return frozenset({self.person_key, *self.former_identities, *self.kept_identities})

    @property
    def identities(self) -> frozenset[str]:
        """Return all keys under which this person counts or counted, by any account that is or was connected."""
        together = connections()
        return self.own_keys.union(*(together.get(key, ()) for key in self.own_keys))

    def is_among(self, persons: Container[str]) -> bool:
        """Tell whether this person is one of these: the `identities` of each of them."""
        return self.person_key in persons

    @cached_property
    def accounts(self) -> frozenset[int]:
        """Return the ids of all accounts of this person, by all their identities."""
        if (persons := self.identities) == {f"account:{self.pk}"}:
            return frozenset({self.pk})
        rows = Account.objects.exclude(employee_id="", former_identities=[], kept_identities=[]).only(*KEY_COLUMNS)
        return frozenset({self.pk, *(row.pk for row in rows if row.is_among(persons))})


# Of these columns the keys of a person are made.
KEY_COLUMNS = ("employee_id", "former_identities", "kept_identities")


@once_a_look
def connections() -> dict[str, frozenset[str]]:
    """Return key of a person → all keys of that person, for those whom an edited identity connects: accounts that
    shared an employee id remain one person, also by way of a third account.
    """
    found: dict[str, frozenset[str]] = {}
    for account in Account.objects.exclude(former_identities=[], kept_identities=[]).only(*KEY_COLUMNS):
        keys = frozenset(key for key in account.own_keys if key.startswith(Account.PERSON_KEYS))
        together = keys.union(*(found.get(key, ()) for key in keys))
        found |= dict.fromkeys(together, together)
    return found


def enrolled(person: str = "") -> Q:
    """Return the condition that a row's person has enrolled and keeps a second factor of their own; only then do their
    deciding roles count. A service account cannot enrol, and approves nothing. person: path from the row to the
    account; "" for the account's own row. Where the settings name a second factor of the identity provider, it may be
    that.
    """
    from environments.models.external_identity import ExternalIdentity
    from environments.single_sign_on import configured

    factors = Q(Exists(Authenticator.objects.filter(user=OuterRef(person or "pk"), type__in=FACTORS)))
    if configured.second_factors():
        there = ExternalIdentity.objects.filter(account=OuterRef(person or "pk"), second_factor=True)
        factors |= Q(Exists(there.filter(issuer=configured.issuer())))
    own = factors & Q(**{f"{person}__enrolled_at__isnull".lstrip("_"): False})
    return own | Q(**{f"{person}__kind".lstrip("_"): Account.Kind.SERVICE})


# The accounts that SCIM may change: the provider made them or was given them, and they are not for break-glass.
KEPT_BY_PROVIDER = Q(provisioned=True, break_glass=False, kind=Account.Kind.PERSON)


class Token(models.Model):
    """A service account's key to the API, which ends with its owner's account: a secret, shown once and stored as
    SHA-256, or in its place a workload, which an issuer states by tokens of its own.
    """

    account = models.ForeignKey(Account, models.PROTECT, related_name="tokens", verbose_name=_("account"))
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    environments: models.ManyToManyField[Any, Any] = models.ManyToManyField(
        "environments.Environment", blank=True, verbose_name=_("environments")
    )
    issuer = models.CharField(_("issuer"), max_length=255, blank=True, default="", db_default="")
    subject = models.CharField(_("subject"), max_length=255, blank=True, default="", db_default="")
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    LOCK_ORDER = 2

    class Meta:
        verbose_name = _("token")
        verbose_name_plural = _("tokens")
        constraints = [
            models.UniqueConstraint(
                fields=["issuer", "subject"],
                condition=Q(revoked_at__isnull=True) & ~Q(issuer=""),
                name="token_workload_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.subject}" if self.issuer else f"{self.account} …{self.digest[:6]}"

    @staticmethod
    def fresh() -> tuple[str, str]:
        """Return (secret, digest) of a new token; 256 random bits."""
        secret = "ringi_" + secrets.token_urlsafe(32)
        return secret, Token.digest_of(secret)

    @staticmethod
    def digest_of(secret: str) -> str:
        """Return the stored form of a token."""
        return hashlib.sha256(secret.encode()).hexdigest()
