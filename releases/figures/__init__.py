"""What is counted about releases: delivery, time per phase, lateness, ways back. The page of figures shows it."""
