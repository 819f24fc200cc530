"""What is told of releases afterwards: evidence packs, audit tests, statistics."""
