"""simple-history with the acting account and the reason of the operation, wherever a row is saved from; only of what
changed.
"""

from typing import Any

from django.db import connections
from simple_history.models import HistoricalRecords

from audit.actor import current
from audit.operation import label, open_operation

# The index on objects also holds the time; the hour leaves room for a clock that steps back.
_CHANGED = """
SELECT EXISTS (SELECT FROM audit_event WHERE object = %s AND kind = 'row' AND tx = pg_current_xact_id()::text::bigint
    AND at >= now() - interval '1 hour'), clock_timestamp()
"""


class Snapshots(HistoricalRecords):  # type: ignore[misc]
    """Snapshots for people to read; what is proven is the ledger."""

    def create_historical_record(self, instance: Any, history_type: str, using: str | None = None) -> None:
        """Keep a snapshot of the saved row with the database's time, unless this transaction has changed none of its
        audited columns.
        """
        with connections[using or "default"].cursor() as cursor:
            cursor.execute(_CHANGED, [label(instance)])
            changed, instance._history_date = cursor.fetchone()
        if changed or history_type != "~":
            super().create_historical_record(instance, history_type, using=using)

    def get_history_user(self, instance: Any) -> Any:
        """Return the account of the actor; None for a process."""
        account_id = current().account_id
        if account_id is None:
            return None
        from django.contrib.auth import get_user_model

        return get_user_model()._base_manager.filter(pk=account_id).first()

    def get_change_reason_for_object(self, instance: Any, history_type: str, using: str) -> str:
        """Return the reason given at the operation."""
        op = open_operation()
        return op.reason if op is not None else ""
