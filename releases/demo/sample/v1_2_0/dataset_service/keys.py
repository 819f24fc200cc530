"""Names the keys of the configuration file."""

REQUIRED = ("DATABASE_URL", "PORT", "LOG", "MAINTENANCE")
DEFAULTS = {"BIND": "127.0.0.1", "THREADS": "16", "CACHE_SECONDS": "5", "BATCH_PAUSE": "0.2"}
