"""The metric source that queries the target's own database; used by monitoring and checks."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

import psycopg

from environments.targets.base import Parameters, TargetSpec
from environments.targets.declared import Field
from environments.targets.postgresql import PostgreSQL
from environments.targets.target import data_store_of
from environments.targets.words import gettext as _
from releases.metric_sources.base import NOTHING, MetricName, Reading, TargetSource, greatest, provided_by
from releases.metric_sources.read_only import ReadStatement


class SqlSourceParameters(Parameters):
    """statement: one statement that reads one row, or rows of (name, value); it runs in a read-only transaction.

    values: metric (or requests, errors, duration_sum, duration_count, started) → column of the row, or name in the
    rows, of which the greatest number counts. seconds: deadline, at most 5. A database without an answer says nothing
    about the service.
    """

    statement: ReadStatement
    values: dict[MetricName, str] = Field(min_length=1)
    seconds: float = Field(default=5.0, gt=0, le=5)


class Sql(TargetSource):
    """Reads numbers from the target's database with one SELECT; never writes."""

    name: ClassVar[str] = "sql"
    parameters: ClassVar[type[Parameters]] = SqlSourceParameters
    needs_configuration: ClassVar[bool] = True

    def look(
        self, target: TargetSpec, parameters: SqlSourceParameters, configuration: Mapping[str, str] = NOTHING
    ) -> Reading:
        """Query once. A database without an answer is not up; NULL and invalid numbers are left out."""
        at = datetime.now(UTC)
        database = data_store_of(target, configuration)
        if not isinstance(database, PostgreSQL):
            return Reading(at, False, {}, _("The deployment target has no PostgreSQL database."))
        try:
            columns, rows = database.read(parameters.statement, parameters.seconds, most=200)
        except psycopg.OperationalError as error:
            return Reading(at, False, {}, _said(error))
        except psycopg.Error as error:
            return Reading(at, True, {}, _said(error))
        pairs = list(zip(columns, rows[0], strict=True)) if len(rows) == 1 else []
        if len(columns) == 2 and not set(parameters.values.values()) & {name for name, _value in pairs}:
            pairs = [(str(name), value) for name, value in rows]
        named = greatest((name, number_of(value)) for name, value in pairs)
        found = {name: named.get(column) for name, column in parameters.values.items()}
        return Reading(at, True, {name: value for name, value in found.items() if value is not None})

    def provides(self, parameters: SqlSourceParameters) -> frozenset[str]:
        """Return the metrics that are read."""
        return provided_by(parameters.values)


def number_of(value: Any) -> float | None:
    """Return a finite number, a flag as 0 or 1; None for anything else."""
    if not isinstance(value, bool | int | float | Decimal):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _said(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
