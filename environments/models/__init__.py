"""What runs where, and who may: the public face of the models."""

from environments.models.access_grant import AccessGrant, AccessRule
from environments.models.account import Account, Token
from environments.models.change_window import ChangeWindow, Freeze
from environments.models.configuration import ConfigurationVersion
from environments.models.environment import Application, Environment, Target

__all__ = [
    "AccessGrant",
    "AccessRule",
    "Account",
    "Application",
    "ChangeWindow",
    "ConfigurationVersion",
    "Environment",
    "Freeze",
    "Target",
    "Token",
]
