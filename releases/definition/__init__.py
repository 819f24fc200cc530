"""Configuration as code: a folder of TOML that defines applications, targets, processes, procedures and calendars."""
