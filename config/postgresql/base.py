"""Django's connection to PostgreSQL, whose queries `config.postgresql.compiler` writes; it uses no former primary."""

import logging
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base, operations

from audit.primary import outdated, without

log = logging.getLogger(__name__)


class DatabaseOperations(operations.DatabaseOperations):
    """Django's own, with that compiler."""

    compiler_module = "config.postgresql.compiler"


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, with those operations."""

    ops_class = DatabaseOperations

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect to the primary: where several hosts are named, a former one is left out."""
        several = "," in str(conn_params.get("host") or "")
        while True:
            made = super().get_new_connection(conn_params)
            if not several or not (fault := outdated(made, Path(settings.STATE_DIR))):
                return made
            host, port = made.info.host, made.info.port
            made.close()
            log.warning("%s:%s is not used: %s", host, port, fault)
            conn_params = without(conn_params, host, port)
            if not conn_params["host"]:
                raise psycopg.OperationalError(f"{host}:{port} was the primary before: {fault}")
