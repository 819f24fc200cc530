"""The check type that compares a value of the target's database, by one SELECT; used by deployments and monitoring."""

from typing import Any, ClassVar

import psycopg

from environments.targets.base import Parameters
from environments.targets.declared import Field, model_validator
from environments.targets.postgresql import PostgreSQL
from environments.targets.target import data_store_of
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, Result, TargetCheck
from releases.check_types.excerpt import excerpt
from releases.check_types.limits import LimitParameters
from releases.metric_sources.read_only import ReadStatement


class SqlParameters(LimitParameters):
    """statement: one statement that reads one value. equals, at_least, at_most: its limits.

    seconds: its longest time. It runs in a read-only transaction.
    """

    statement: ReadStatement
    seconds: float = Field(default=10.0, gt=0, le=300)

    @model_validator(mode="after")
    def _says_what_is_right(self) -> "SqlParameters":
        if not self.limited:
            raise ValueError(_("one of equals, at_least, at_most is needed"))
        return self


class Sql(TargetCheck):
    """Reads one value from the target's database and compares it; never writes."""

    name: ClassVar[str] = "sql"
    parameters: ClassVar[type[Parameters]] = SqlParameters

    def look(self, context: CheckContext, parameters: SqlParameters) -> CheckResult:
        """Query once. No database, no row and NULL are no data; a refusal by the server is an error."""
        limit = parameters.limit_text()
        database = data_store_of(context.target, context.configuration)
        if not isinstance(database, PostgreSQL):
            return CheckResult(
                Result.NO_DATA, limit=limit, output=_("The deployment target has no PostgreSQL database.")
            )
        try:
            _columns, rows = database.read(parameters.statement, parameters.seconds, most=2)
        except psycopg.Error as error:
            text = excerpt([parameters.statement, *str(error).splitlines()], context)
            return CheckResult(Result.ERROR, limit=limit, output=text)
        return evaluated(rows, parameters, context)


def evaluated(rows: list[tuple[Any, ...]], parameters: SqlParameters, context: CheckContext) -> CheckResult:
    """Evaluate the rows: exactly one row of one column is a value."""
    limit, shown = parameters.limit_text(), [parameters.statement]
    if len(rows) > 1 or any(len(row) != 1 for row in rows):
        shown.append(_("The statement gives more than one value."))
        return CheckResult(Result.ERROR, limit=limit, output=excerpt(shown, context))
    if not rows or rows[0][0] is None:
        shown.append(_("The statement gives no value."))
        return CheckResult(Result.NO_DATA, limit=limit, output=excerpt(shown, context))
    found = rows[0][0]
    value = ("true" if found else "false") if isinstance(found, bool) else str(found)
    kept = parameters.holds(value)
    if kept is None:
        shown.append(_("The value is not a number."))
    result = Result.ERROR if kept is None else Result.PASSED if kept else Result.FAILED
    said = excerpt([value], context)
    return CheckResult(result, said[:100], limit, excerpt([*shown, value], context))
