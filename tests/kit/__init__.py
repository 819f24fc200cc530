"""The production kit, played: `make kit` installs `deploy/` in a bare Debian and releases to production there."""
