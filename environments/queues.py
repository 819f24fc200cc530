"""The queues of workers: one for each environment, by its key, and those of Ringi's own."""

OWN_QUEUES = ("measurements", "checks", "notifications")
