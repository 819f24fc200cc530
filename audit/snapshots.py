"""simple-history with the acting account and the reason of the door, wherever a row is saved from."""

from __future__ import annotations

from typing import Any

from simple_history.models import HistoricalRecords

from audit.actor import current
from audit.change import present_reason


class Snapshots(HistoricalRecords):  # type: ignore[misc]
    """Snapshots for people to read; what is proven is the ledger."""

    def get_history_user(self, instance: Any) -> Any:
        """Return the account that acts, or nobody for a process."""
        account_id = current().account_id
        if account_id is None:
            return None
        from django.contrib.auth import get_user_model

        return get_user_model()._base_manager.filter(pk=account_id).first()

    def get_change_reason_for_object(self, instance: Any, history_type: str, using: str) -> str:
        """Return the reason given at the door."""
        return present_reason()
