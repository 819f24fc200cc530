"""Requests to erase the personal data of a person, and the database's own guard of an erasure: the one function that
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
from releases.models.recipients import GroupRecipient

FUNCTION = f"""
CREATE OR REPLACE FUNCTION ringi_erase(bigint) RETURNS bigint LANGUAGE plpgsql {SCHEMA}
AS $$
DECLARE
    confirmed releases_erasure;
    person text;
    recipients text[];
    emptied bigint;
BEGIN
    PERFORM ringi_require('erasure:confirm');
    -- Written in this transaction, as its event says: a confirmation of before erases nothing twice.
    SELECT * INTO confirmed FROM releases_erasure
    WHERE id = $1 AND confirmed_at IS NOT NULL AND confirmed_person <> requested_person AND EXISTS (
        SELECT FROM audit_event WHERE object = 'releases.Erasure:' || $1 AND outcome = 'updated'
        AND operation = CASE WHEN recipient_id IS NULL THEN 'erasure:confirm' ELSE 'erasure:confirm_recipient' END
        AND tx = pg_current_xact_id()::text::bigint);
    IF confirmed.id IS NULL THEN
        RAISE EXCEPTION 'no two people confirm this erasure in this transaction' USING ERRCODE = 'RI003';
    END IF;
    PERFORM ringi_row_releases_suppressedaddress_erase(ARRAY(
        SELECT id::text FROM releases_suppressedaddress WHERE address = ''));
    IF confirmed.recipient_id IS NOT NULL THEN
        -- Of the rows in other groups, the event of this transaction says that they were emptied with this one.
        recipients := ARRAY(
            SELECT id::text FROM releases_grouprecipient r WHERE id = confirmed.recipient_id
            OR account_id IS NULL AND address = '' AND EXISTS (
                SELECT FROM audit_event WHERE object = 'releases.GroupRecipient:' || r.id AND outcome = 'updated'
                AND operation = 'erasure:confirm_recipient' AND tx = pg_current_xact_id()::text::bigint));
        emptied := ringi_row_releases_grouprecipient_erase(recipients);
        PERFORM ringi_row_releases_inboxitem_erase(ARRAY(
            SELECT id::text FROM releases_inboxitem
            WHERE account_id IS NULL AND group_recipient_id::text = ANY (recipients)));
        PERFORM ringi_row_releases_notificationdelivery_erase(ARRAY(
            SELECT d.id::text FROM releases_notificationdelivery d JOIN releases_inboxitem i ON i.id = d.inbox_item_id
            WHERE i.account_id IS NULL AND i.group_recipient_id::text = ANY (recipients)));
        RETURN emptied;
    END IF;
    person := confirmed.account_id::text;
    emptied := ringi_row_environments_account_erase(ARRAY[person]);
    PERFORM ringi_row_environments_requestedchange_erase(ARRAY(
        SELECT id::text FROM environments_requestedchange WHERE account_id::text = person));
    PERFORM ringi_row_releases_teammember_erase(ARRAY(
        SELECT id::text FROM releases_teammember WHERE account_id::text = person));
    PERFORM ringi_row_releases_notificationdelivery_erase(ARRAY(
        SELECT d.id::text FROM releases_notificationdelivery d JOIN releases_inboxitem i ON i.id = d.inbox_item_id
        WHERE i.account_id::text = person));
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
    """One request about an account, or about a recipient without one: decided once, never edited."""

    account = models.ForeignKey(Account, models.PROTECT, null=True, related_name="+", verbose_name=_("account"))
    recipient = models.ForeignKey(
        GroupRecipient, models.PROTECT, null=True, related_name="+", verbose_name=_("recipient")
    )
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
            models.UniqueConstraint(
                fields=["recipient"],
                condition=Q(confirmed_at=None, rejected_at=None),
                name="erasure_of_recipient_requested_once",
            ),
            models.CheckConstraint(
                condition=Q(account=None, recipient__isnull=False) | Q(account__isnull=False, recipient=None),
                name="erasure_of_one_person",
            ),
        ]

    def __str__(self) -> str:
        return str(self.person)

    @property
    def person(self) -> Account | GroupRecipient:
        """Return the person whose data it is about."""
        found = self.account or self.recipient
        assert found is not None
        return found

    @staticmethod
    def about(person: Account | GroupRecipient) -> dict[str, Account | GroupRecipient]:
        """Return the column of a person with its value."""
        return {"account" if isinstance(person, Account) else "recipient": person}

    @staticmethod
    def open_of(person: Account | GroupRecipient) -> "Erasure | None":
        """Return the request about a person that waits for its decision; None where there is none."""
        return Erasure.objects.filter(**Erasure.about(person), confirmed_at=None, rejected_at=None).first()
