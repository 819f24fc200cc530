"""Requests to erase the personal data of an account, and the database's own guard of an erasure: the one function that
empties history rows and destroys keys. Any role may call it, and it does nothing but what the transaction of a
confirmation allows.
"""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.ledger.row_function import SCHEMA
from environments.models import Account

FUNCTION = f"""
CREATE OR REPLACE FUNCTION ringi_erase(bigint) RETURNS bigint LANGUAGE plpgsql {SCHEMA}
AS $$
DECLARE
    person text;
    emptied bigint;
BEGIN
    PERFORM ringi_require('erasure:confirm');
    -- Written in this transaction, as its event says: a confirmation of before erases nothing twice.
    SELECT account_id::text INTO person FROM releases_erasure
    WHERE id = $1 AND confirmed_at IS NOT NULL AND confirmed_person <> requested_person AND EXISTS (
        SELECT FROM audit_event WHERE object = 'releases.Erasure:' || $1 AND operation = 'erasure:confirm'
        AND outcome = 'updated' AND tx = pg_current_xact_id()::text::bigint);
    IF person IS NULL THEN
        RAISE EXCEPTION 'no two people confirm this erasure in this transaction' USING ERRCODE = 'RI003';
    END IF;
    emptied := ringi_row_environments_account_erase(ARRAY[person]);
    PERFORM ringi_row_environments_requestedchange_erase(ARRAY(
        SELECT id::text FROM environments_requestedchange WHERE account_id::text = person));
    PERFORM ringi_row_releases_teammember_erase(ARRAY(
        SELECT id::text FROM releases_teammember WHERE account_id::text = person));
    PERFORM ringi_row_releases_notificationdelivery_erase(ARRAY(
        SELECT d.id::text FROM releases_notificationdelivery d JOIN releases_inboxitem i ON i.id = d.inbox_item_id
        WHERE i.account_id::text = person));
    PERFORM ringi_row_releases_suppressedaddress_erase(ARRAY(
        SELECT id::text FROM releases_suppressedaddress WHERE address = ''));
    RETURN emptied;
END $$;
"""


def install(**signal: Any) -> None:
    """Create or replace the function; called after each migration of the app."""
    from django.db import connection

    if signal.get("using", "default") == "default":
        with connection.cursor() as cursor:
            cursor.execute(FUNCTION)


class Erasure(models.Model):
    """One request: decided once, never edited."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("account"))
    reason = models.CharField(_("reason"), max_length=300)
    requested_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("requested by"))
    requested_person = models.TextField(_("requester identity"))
    requested_at = WrittenAtField(_("requested"), auto_now_add=True)
    confirmed_by = models.ForeignKey(
        Account, models.PROTECT, null=True, related_name="+", verbose_name=_("confirmed by")
    )
    confirmed_person = models.TextField(_("confirmer identity"), blank=True, default="")
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    rejected_at = models.DateTimeField(_("rejected"), null=True)

    # What is destroyed concerns the evidence of production.
    concerns_tier = "production"
    LOCK_ORDER = 2

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_at=None, confirmed_person="")
                | Q(confirmed_at__isnull=False, rejected_at=None)
                & ~Q(confirmed_person="")
                & ~Q(confirmed_person=F("requested_person")),
                name="erasure_two_persons",
            ),
            models.UniqueConstraint(
                fields=["account"], condition=Q(confirmed_at=None, rejected_at=None), name="erasure_requested_once"
            ),
        ]

    def __str__(self) -> str:
        return str(self.account)

    @staticmethod
    def open_of(account_id: int) -> "Erasure | None":
        """Return the request about an account that nobody has decided; None where there is none."""
        return Erasure.objects.filter(account=account_id, confirmed_at=None, rejected_at=None).first()
