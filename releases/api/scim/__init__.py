"""SCIM 2.0 (RFC 7643, RFC 7644): the identity provider makes, changes and deactivates accounts, and says who is in its
groups.
"""

from releases.api.scim.views import urls as urls
