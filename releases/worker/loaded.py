"""Memory of a long-lived process: what it has loaded at its start is left out of garbage collection."""

import gc

from releases.telemetry import tracer_provider


def keep_what_is_loaded() -> None:
    """Freeze all present objects for the garbage collector: a full collection delays whatever is due in that tenth of a
    second. What makes spans is loaded before, so that no step waits for it.
    """
    tracer_provider()
    gc.collect()
    gc.freeze()
