"""What an installation needs, looked at: `manage.py doctor`, its page, and the probe /health/ready/."""
