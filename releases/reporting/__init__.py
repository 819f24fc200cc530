"""Reports on releases: evidence packs, audit tests, statistics."""
