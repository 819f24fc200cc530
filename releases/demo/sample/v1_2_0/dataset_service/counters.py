"""Counts requests and prints them for Prometheus; called by the application."""

import threading
import time
from collections import Counter


class Counters:
    """The numbers since the start of the process. `threads` = how many requests may be worked on at once."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.started = time.time()
        self.busy = 0
        self._lock = threading.Lock()
        self._statuses: Counter[int] = Counter()
        self._seconds = 0.0
        self._maintenance = 0

    def begin(self) -> None:
        """Note that a request is being worked on."""
        with self._lock:
            self.busy += 1

    def end(self, status: int, seconds: float) -> None:
        """Note that a request was answered."""
        with self._lock:
            self.busy -= 1
            self._statuses[status] += 1
            self._seconds += seconds

    def turned_away(self) -> None:
        """Note a request that met the maintenance flag."""
        with self._lock:
            self._maintenance += 1

    def text(self) -> str:
        """Return the numbers in the text format of Prometheus."""
        with self._lock:
            statuses, seconds = sorted(self._statuses.items()), self._seconds
            maintenance, busy = self._maintenance, self.busy
        lines = [
            "# HELP http_requests_total Requests answered, by status.",
            "# TYPE http_requests_total counter",
            *(f'http_requests_total{{status="{status}"}} {count}' for status, count in statuses),
            "# HELP http_request_duration_seconds Time spent on answering.",
            "# TYPE http_request_duration_seconds summary",
            f"http_request_duration_seconds_sum {seconds:.6f}",
            f"http_request_duration_seconds_count {sum(count for _, count in statuses)}",
            "# HELP http_maintenance_total Requests turned away during maintenance.",
            "# TYPE http_maintenance_total counter",
            f"http_maintenance_total {maintenance}",
            "# HELP resource_use_ratio Share of the threads that are busy.",
            "# TYPE resource_use_ratio gauge",
            f"resource_use_ratio {busy / self.threads:.4f}",
            "# HELP process_start_time_seconds When the process started, seconds since 1970.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self.started:.3f}",
        ]
        return "\n".join(lines) + "\n"
