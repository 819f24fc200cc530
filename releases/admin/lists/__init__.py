"""The admin's own lists, read only."""
