"""Servers and processes for trials, tests and the demo; nothing that an installation runs."""
