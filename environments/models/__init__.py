"""What runs where, and who may: the public face of the models."""

from environments.models.access_grant import AccessGrant, AccessRule
from environments.models.access_review import AccessRequest, AccessReview, AccessReviewItem
from environments.models.account import Account, Token, enrolled, sign_in_name
from environments.models.calendar_feed import CalendarFeed
from environments.models.change_window import ChangeWindow, Freeze
from environments.models.configuration import ConfigurationCheck, ConfigurationVersion
from environments.models.deputy import Deputy
from environments.models.environment import Application, Environment, Target
from environments.models.holiday import CompanyHoliday
from environments.models.proposed_change import ProposedChange

__all__ = [
    "AccessGrant",
    "AccessRequest",
    "AccessReview",
    "AccessReviewItem",
    "AccessRule",
    "Account",
    "Application",
    "CalendarFeed",
    "ChangeWindow",
    "CompanyHoliday",
    "ConfigurationCheck",
    "ConfigurationVersion",
    "Deputy",
    "Environment",
    "Freeze",
    "ProposedChange",
    "Target",
    "Token",
    "enrolled",
    "sign_in_name",
]
