"""One line of My tasks."""

from dataclasses import dataclass
from datetime import datetime

MOST = 30


@dataclass(frozen=True)
class Task:
    """One open task: what to do, about what, where, and until when."""

    what: str
    about: str
    url: str
    note: str = ""
    due: datetime | None = None
    zone: str = ""
    urgent: bool = False
