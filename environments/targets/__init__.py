"""What lies on a target and how it is reached: lock, journal, programs in their sandbox, measuring, SSH."""
