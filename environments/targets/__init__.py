"""The code that works on a target and reaches it: lock, journal, programs in their sandbox, measuring, SSH."""
