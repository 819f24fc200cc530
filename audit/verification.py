"""Verification of the ledger and of what writes it; the command, the schedule and the pages all call it.

A result needs something from outside the database: the signer's public key, in the file that RINGI_LEDGER_PUBLIC_KEY
names. The last verified state is kept in a folder of its own, so that a later verification compares the past with it.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings

from audit import guards
from audit.apps import table_of
from audit.audited_tables import AUDITED_TABLES, AuditedTable
from audit.ledger.chain import BROKEN, Report, verify
from audit.ledger.checkpoint import Memory
from audit.ledger.note import KeyRing, PublicKey
from audit.ledger.time_stamps import authority, findings
from audit.models import LedgerResumption
from audit.offline.ringi_verify import Inconclusive
from audit.private_files import make_folder
from audit.roles import Roles


@dataclass(frozen=True)
class Result:
    """The result of a verification. `not_captured`: each trigger or function that is not as installed;
    `unknown_tables`: in no list.
    """

    report: Report
    not_captured: list[str]
    unknown_tables: list[str]

    @property
    def status(self) -> int:
        """0 holds, 1 broken, 2 holds as far as can be seen."""
        return BROKEN if self.not_captured else self.report.exit_status

    def as_json(self) -> dict[str, Any]:
        """Return what `audit_verify --json` prints."""
        report = asdict(self.report)
        del report["memory"]
        tables = {"not_captured": self.not_captured, "unknown_tables": self.unknown_tables}
        return {"status": self.status, **report, **tables}


def key_file() -> Path:
    """Return where the signer's public key was put for those who verify; without the setting, the signer's own file."""
    return Path(settings.LEDGER_PUBLIC_KEY or Path(settings.STATE_DIR) / "ledger_signer" / "key.pub")


def public_keys(file: Path | None = None) -> KeyRing:
    """Return the keys that were given from outside the database; none where there is no file. Raises OSError,
    BadNote.
    """
    given = file or key_file()
    return KeyRing(PublicKey.all_of(given.read_text(encoding="utf-8")) if given.exists() else ())


def _memory() -> Path:
    return Path(settings.STATE_DIR) / "verifier" / "verified.json"


def remembered() -> Memory | None:
    """Return what was verified last on this host, to go on behind it; None before the first time, and after two people
    have accepted a loss since.
    """
    if not _memory().exists():
        return None
    kept = datetime.fromtimestamp(_memory().stat().st_mtime, UTC)
    return Memory.read(_memory()) if not LedgerResumption.objects.filter(confirmed_at__gte=kept).exists() else None


def remember(result: Result) -> None:
    """Keep the last checkpoint that was verified, once all holds."""
    if result.status == 0 and result.report.memory is not None:
        make_folder(_memory().parent)
        result.report.memory.write(_memory())


def verified(
    connection: Any,
    *,
    keys: KeyRing | None = None,
    notes: Iterable[str] = (),
    begun: Memory | None = None,
    first: int = 1,
    last: int | None = None,
    **options: Any,
) -> Result:
    """Verify the ledger in one snapshot, and ask whether all that writes it stands as it was installed.

    connection: of psycopg, in no transaction. keys: else those of `public_keys`. notes: checkpoints from outside the
    database, beside the one that this host verified last. begun: `remembered()`, to verify only what came behind it;
    first, last: numbers of events. options: as `verify` takes them. Raises OSError, psycopg's errors, and BadNote for a
    key or note that can't be used.
    """
    if keys is None:
        keys = public_keys()
    kept = remembered()
    outside = [*notes, *([kept.note] if kept is not None and begun is None else [])]
    report = verify(connection, first=first, last=last, notes=outside, key=keys, begun=begun, **options)
    if last is None and (begun is not None or first == 1) and report.finding is None:
        _check_time_stamps(connection, report, begun.frontier.size if begun is not None else 0, options)
    return Result(report, guard_faults(connection), guards.strangers(connection, _audited(), table_of))


def _check_time_stamps(connection: Any, report: Report, behind: int, options: dict[str, Any]) -> None:
    """Add to a report what the time stamps behind a number show; nothing where no authority is set."""
    try:
        known = authority()
        with connection.transaction(), connection.cursor() as cursor:
            for finding in findings(cursor, known, behind) if known is not None else ():
                if finding not in options.get("accepted", ()):
                    report.finding, report.memory = finding, None
                    return
                report.accepted.append(finding)
    except (Inconclusive, OSError) as fault:
        report.unknown = report.unknown or str(fault)


def guard_faults(connection: Any) -> list[str]:
    """Return in what triggers, functions and rights of the ledger differ from what `migrate` installed."""
    return guards.faults(connection, _audited(), table_of, Roles(**settings.DATABASE_ROLES), beside=guards.BESIDE)


def _audited() -> list[AuditedTable]:
    # Apps that are not installed here have no tables to ask about.
    return [one for one in AUDITED_TABLES if one.model.partition(".")[0] in apps.app_configs]
