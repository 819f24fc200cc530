"""Notifications: the channels, and the templates of the texts."""
