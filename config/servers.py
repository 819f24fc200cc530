"""The addresses of PostgreSQL, one for each database role, and of Redis, as child processes get them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Servers:
    """Addresses of the running servers. `server_url` is the superuser's and may create databases."""

    owner_url: str
    app_url: str
    redis_url: str
    postgres_bin: Path
    server_url: str
    worker_url: str
    scheduler_url: str
    ledger_signer_url: str
    auditor_url: str

    def environment(self) -> dict[str, str]:
        """Return the variables that name the servers to a child process."""
        return {
            "DATABASE_URL": self.app_url,
            "DATABASE_OWNER_URL": self.owner_url,
            "DATABASE_SERVER_URL": self.server_url,
            "DATABASE_WORKER_URL": self.worker_url,
            "DATABASE_SCHEDULER_URL": self.scheduler_url,
            "DATABASE_LEDGER_SIGNER_URL": self.ledger_signer_url,
            "DATABASE_AUDITOR_URL": self.auditor_url,
            "REDIS_URL": self.redis_url,
            "POSTGRES_BIN": str(self.postgres_bin),
        }
