"""What is counted about releases: delivery, time per phase, lateness, rollbacks. The statistics page shows it."""
