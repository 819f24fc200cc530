"""Models of environments, accounts and access: the names that others import."""

from environments.models.access_grant import AccessGrant, AccessRule
from environments.models.access_review import AccessRequest, AccessReview, AccessReviewItem
from environments.models.account import KEPT_BY_PROVIDER, Account, Token, enrolled, sign_in_name
from environments.models.calendar_feed import CalendarFeed
from environments.models.change_window import ChangeFreeze, ChangeWindow
from environments.models.configuration import ConfigurationCheck, ConfigurationVersion
from environments.models.delegation import Delegation
from environments.models.environment import Application, DeploymentTarget, Environment
from environments.models.external_identity import ExternalIdentity, ProviderKey
from environments.models.group_role import GroupRole
from environments.models.holiday import Holiday
from environments.models.provisioned_group import ProvisionedGroup
from environments.models.requested_change import RequestedChange
from environments.models.role import Role
from environments.models.saved_view import SavedView
