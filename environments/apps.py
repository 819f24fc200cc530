"""App configuration."""

from django.apps import AppConfig


class EnvironmentsConfig(AppConfig):
    """What runs where, and who may."""

    name = "environments"
