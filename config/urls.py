"""URLs: the admin with its own pages, the operations, sign-in and the API. Probes are answered before, in
config/health.py.
"""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from django.views.i18n import set_language

# Each registers what it shows; the admins that other packages bring are not loaded.
import audit.admin  # noqa: F401
import environments.admin  # noqa: F401
import releases.admin  # noqa: F401
from environments.passkeys import SigningView
from environments.session_list import sessions
from environments.sign_in import closed, invitation
from environments.single_sign_on import views as single_sign_on
from releases.admin.components.live import changed
from releases.admin.pages.access.page import access
from releases.admin.pages.access_report.page import access_report
from releases.admin.pages.approval_request.page import approval_request
from releases.admin.pages.as_of.page import as_of_page
from releases.admin.pages.audit_tests.page import audit_test, audit_tests
from releases.admin.pages.calendar.feed import feed
from releases.admin.pages.calendar.page import calendar
from releases.admin.pages.closed_years.page import closed_year, closed_years, year_archive
from releases.admin.pages.configuration.page import configuration_difference
from releases.admin.pages.definition.page import definition, definition_export
from releases.admin.pages.deployment.page import deployment, step_log
from releases.admin.pages.doctor.page import doctor
from releases.admin.pages.dry_run.page import dry_run_page
from releases.admin.pages.event.page import event
from releases.admin.pages.export.page import ledger_export, program
from releases.admin.pages.find.page import find
from releases.admin.pages.first_steps.page import first_steps
from releases.admin.pages.from_file.page import from_file
from releases.admin.pages.glossary.page import glossary
from releases.admin.pages.monitoring.page import monitoring
from releases.admin.pages.my_tasks.page import my_tasks
from releases.admin.pages.notification_preview.page import inbox, preview as notification_preview
from releases.admin.pages.operation.page import operation
from releases.admin.pages.prints.page import approval_request_form, contact_list, rollback_report, runbook
from releases.admin.pages.procedure.difference import procedure_difference
from releases.admin.pages.procedure.document import procedure_document, procedure_download
from releases.admin.pages.published.page import published
from releases.admin.pages.queue.page import queues
from releases.admin.pages.release.page import release
from releases.admin.pages.release_import.page import progress, release_import
from releases.admin.pages.retention.page import retention
from releases.admin.pages.review.page import review
from releases.admin.pages.rollback.page import rollback
from releases.admin.pages.sampling.page import evidence_pack, evidence_packs, sampling
from releases.admin.pages.several.page import several
from releases.admin.pages.sign.page import sign_all
from releases.admin.pages.statistics.page import statistics
from releases.admin.pages.timeline.page import timeline
from releases.api import api, scim


def first_page(request: HttpRequest) -> HttpResponse:
    """Show My tasks."""
    return my_tasks(request, admin.site)


handler500 = "config.health.error_page"
urlpatterns = [
    path("", login_not_required(RedirectView.as_view(url="/admin/"))),
    path("invitation/<str:secret>/", invitation, name="invitation"),
    path("language/", login_not_required(set_language), name="language"),
    path("admin/release/<int:pk>/", release, name="release"),
    path("admin/release/<int:pk>/dry-run/<slug:environment>/", dry_run_page, name="dry-run"),
    path("admin/sign/", sign_all, name="sign-all-releases"),
    path("admin/release/<int:pk>/sign/", sign_all, name="sign-all"),
    path("admin/release/<int:pk>/approval-request/", approval_request_form, name="approval-request-form"),
    path("admin/release/<int:pk>/runbook/<slug:environment>/", runbook, name="runbook"),
    path("admin/release/<int:pk>/contacts/", contact_list, name="contact-list"),
    path("admin/rollback/<int:pk>/report/", rollback_report, name="rollback-report"),
    path("admin/deployment/<int:pk>/", deployment, name="deployment"),
    path("admin/monitoring/<int:pk>/", monitoring, name="monitoring"),
    path("admin/rollback/<int:pk>/", rollback, name="rollback"),
    path("admin/approval-request/<int:pk>/", approval_request, name="approval-request"),
    path("admin/import/<int:pk>/", release_import, name="release-import"),
    path("admin/import/<int:pk>/progress/", progress, name="release-import-progress"),
    path("admin/step/<int:pk>/log/", step_log, name="step-log"),
    path("admin/live/", changed, name="live"),
    path("admin/find/", find, name="find"),
    path("admin/timeline/", timeline, name="timeline"),
    path("admin/timeline/<int:number>/", event, name="event"),
    path("admin/as-of/", as_of_page, name="as-of"),
    path("admin/access-report/", access_report, name="access-report"),
    path("admin/sampling/", sampling, name="sampling"),
    path("admin/sampling/sample.zip", evidence_packs, name="evidence-packs"),
    path("admin/evidence/<slug:number>.zip", evidence_pack, name="evidence-pack"),
    path("admin/definition/", definition, name="definition"),
    path("admin/definition/export/", definition_export, name="definition-export"),
    path("admin/export/", ledger_export, name="ledger-export"),
    path("admin/export/<slug:name>.py", program, name="program"),
    path("admin/audit-tests/", audit_tests, name="audit-tests"),
    path("admin/audit-tests/<slug:key>/", audit_test, name="audit-test"),
    path("admin/calendar/", calendar, name="calendar"),
    path("admin/first-steps/", first_steps, name="first-steps"),
    path("admin/first-steps/<int:pk>/", first_steps, name="first-steps-of"),
    path("admin/glossary/", glossary, name="glossary"),
    path("admin/doctor/", doctor, name="doctor"),
    path("admin/statistics/", statistics, name="statistics"),
    path("admin/access/", access, name="access"),
    path("admin/access/review/<int:pk>/", review, name="review"),
    path("admin/configuration/difference/", configuration_difference, name="configuration-difference"),
    path("admin/procedure/difference/", procedure_difference, name="procedure-difference"),
    path("admin/procedure/<int:pk>/document/", procedure_document, name="procedure-document"),
    path("admin/procedure/<int:pk>/download/", procedure_download, name="procedure-download"),
    path("admin/inbox/", inbox, name="inbox"),
    path("admin/notifications/preview/", notification_preview, name="notification-preview"),
    path("admin/published/<slug:number>/<slug:kind>/", published, name="published"),
    path("admin/closed-years/", closed_years, name="closed-years"),
    path("admin/closed-years/<int:pk>/", closed_year, name="closed-year"),
    path("admin/closed-years/<int:pk>/archive.zip", year_archive, name="year-archive"),
    path("admin/retention/", retention, name="retention"),
    path("admin/queues/", queues, name="queues"),
    path("calendar/feed/<str:secret>.ics", feed, name="calendar-feed"),
    path("admin/operation/<slug:noun>/<slug:name>/", operation, name="operation-new"),
    path("admin/operation/<slug:noun>/<slug:name>/several/", several, name="operation-several"),
    path("admin/operation/<slug:noun>/<slug:name>/from-file/", from_file, name="operation-from-file"),
    path("admin/operation/<slug:noun>/<slug:name>/<int:pk>/", operation, name="operation"),
    # First, so that the first page and the one sign-in hold whichever site object the admin is given.
    path("admin/", first_page),
    path("admin/login/", login_not_required(RedirectView.as_view(pattern_name="account_login"))),
    re_path(r"^admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    re_path(r"^admin/r/", closed),
    path("admin/", admin.site.urls),
    re_path(r"^account/(?:signup|email|confirm-email|password/set|password/reset|login/code)/", closed),
    path("account/mfa/webauthn/reauthenticate/", SigningView.as_view()),  # before that of allauth, whose name it keeps
    path("account/sessions/", sessions, name="sessions"),
    path("account/single-sign-on/", single_sign_on.sign_in, name="single-sign-on"),
    path("account/single-sign-on/invitation/<str:secret>/", single_sign_on.enrol, name="single-sign-on-enrol"),
    path("account/single-sign-on/connect/", single_sign_on.begin_connecting, name="single-sign-on-connect"),
    path("account/single-sign-on/disconnect/", single_sign_on.end_connection, name="single-sign-on-disconnect"),
    path("account/single-sign-on/prove/", single_sign_on.prove, name="single-sign-on-prove"),
    path("account/single-sign-on/return/", single_sign_on.came_back, name="single-sign-on-return"),
    path("account/single-sign-on/saml/", single_sign_on.answer, name="single-sign-on-answer"),
    path("account/single-sign-on/saml/metadata/", single_sign_on.metadata, name="single-sign-on-metadata"),
    path("account/single-sign-on/go-on/", single_sign_on.go_on, name="single-sign-on-go-on"),
    path("account/", include("allauth.account.urls")),
    path("account/mfa/", include("allauth.mfa.urls")),
    path("api/v1/", api.urls),
    path("scim/v2/", include(scim.urls)),
]
