"""Counts about releases: delivery, time per phase, lateness, rollbacks. The statistics page shows them."""
