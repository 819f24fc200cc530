"""The admin site: unfold's, with My tasks as its first page. Holds no rule of the product."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.sites import UnfoldAdminSite


class RingiAdminSite(UnfoldAdminSite):
    """unfold's site; people sign in through allauth, so that re-authentication and MFA hold for it."""

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send to the one sign-in page."""
        return redirect("account_login")

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the models of one app; every page asks for those of all apps, and the sidebar names them itself."""
        return super().get_app_list(request, app_label) if app_label is not None else []

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show My tasks."""
        from releases.admin.pages.my_tasks.page import my_tasks

        return my_tasks(request, self)


class RingiAdminConfig(SimpleAdminConfig):
    """Installs the site in place of Django's; config/urls.py fills it, so that only the web process has the pages in
    memory.
    """

    default_site = "config.admin_site.RingiAdminSite"

    def ready(self) -> None:
        """Have the pages checked, which the checks must load first."""
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_pages, checks.Tags.admin)


def check_pages(app_configs: Any, **options: Any) -> Any:
    """Load the pages and check them as Django checks an admin."""
    import_module(settings.ROOT_URLCONF)
    return check_admin_app(app_configs, **options)
