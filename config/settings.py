"""All settings, each from the environment. Without DATABASE_URL nothing starts: a typo opens no empty ledger."""

import re
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.csp import CSP
from django.utils.translation import gettext_lazy as _

from config.postgresql.address import PRIMARY, several_hosts
from config.queue_server import NoAddress, Queues, queue_settings
from environments.queues import OWN_QUEUES
from environments.single_sign_on.configured import readable

# NAME_FILE names a file that holds the value of NAME, as containers are given their secrets.
env = environ.FileAwareEnv()
PROCESS = env.str("RINGI_PROCESS", "ringi")
BASE_DIR = Path(__file__).resolve().parent.parent

if not env.str("DATABASE_URL", ""):
    raise ImproperlyConfigured("DATABASE_URL is not set; `make up` starts a trial with its own servers")

SECRET_KEY = env.str("SECRET_KEY")
DEBUG = env.bool("DEBUG", False)
STATE_DIR = Path(env.str("RINGI_STATE_DIR", str(BASE_DIR / "var" / "state")))
BASE_URL = env.str("RINGI_BASE_URL", "http://127.0.0.1:8000")
TRIAL = env.bool("RINGI_TRIAL", False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "config.admin_site.RingiAdminConfig",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "axes",
    "simple_history",
    "django_rq",
    "ninja",
    "audit",
    "environments",
    "releases",
]

MIDDLEWARE = [
    "config.health.ProbeMiddleware",
    "environments.client_address.AddressMiddleware",
    "config.logs.RequestMiddleware",
    "config.whole_body.WholeBodyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.static_files.CompressedPages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "environments.language.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "environments.idle.IdleMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "environments.actors.ActorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.security_headers.SecurityHeadersMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "environments.single_sign_on.middleware.FreshProofMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "releases" / "admin", BASE_DIR / "releases", BASE_DIR / "releases" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "django.template.context_processors.csp",
            ]
        },
    }
]


def _database() -> dict[str, Any]:
    database: dict[str, Any] = env.db_url("DATABASE_URL")
    if not database["ENGINE"].endswith("postgresql"):
        raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database (15 or newer)")
    database["ENGINE"] = "config.postgresql"
    if several := several_hosts(env.str("DATABASE_URL")):
        database |= several | {"OPTIONS": PRIMARY | database.get("OPTIONS", {})}
    # Both ends detect a lost connection within 20 s. Otherwise PostgreSQL would keep its locks, the active scheduler's
    # among them, for the two hours of the system's default, and the process would wait for an answer as long.
    spans = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20000}
    there = " ".join(f"-c {name if 'tcp' in name else f'tcp_{name}'}={value}" for name, value in spans.items())
    # Planned for its values each time: a generic plan reads a million ended deployments to find the five that wait.
    there += " -c plan_cache_mode=force_custom_plan"
    named = {"application_name": PROCESS, "connect_timeout": 5, "options": there}
    # A statement that comes again and again is read and its names are looked up once for each connection.
    prepared = {"server_side_binding": True, "prepare_threshold": 5}
    database["OPTIONS"] = {**spans, **named, **prepared, **database.get("OPTIONS", {})}
    database["CONN_MAX_AGE"] = 600
    database["CONN_HEALTH_CHECKS"] = True
    database["ATOMIC_REQUESTS"] = False
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The roles of the database beside the owner; `migrate` gives those that exist their rights.
DATABASE_ROLES = {
    "application": env.str("RINGI_APP_ROLE", "ringi"),
    "worker": env.str("RINGI_WORKER_ROLE", "ringi_worker"),
    "scheduler": env.str("RINGI_SCHEDULER_ROLE", "ringi_scheduler"),
    "ledger_signer": env.str("RINGI_LEDGER_SIGNER_ROLE", "ringi_ledger_signer"),
    "auditor": env.str("RINGI_AUDITOR_ROLE", "ringi_auditor"),
}

REDIS_URL = env.str("REDIS_URL", "redis://127.0.0.1:6379/0")
SENTINEL_PASSWORD = env.str("RINGI_SENTINEL_PASSWORD", "")
try:
    _queue = queue_settings(REDIS_URL, SENTINEL_PASSWORD)
except NoAddress as fault:
    raise ImproperlyConfigured(f"REDIS_URL: {fault}")
_queue |= {"DEFAULT_TIMEOUT": 86400, "SERIALIZER": "rq.serializers.JSONSerializer"}
RQ_QUEUES = Queues.fromkeys((*OWN_QUEUES, "development", "staging", "production"), _queue)
RQ_SHOW_ADMIN_LINK = False
# Calls of the API are counted in Redis, apart from the default cache: sign-in never waits for Redis.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "rates": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": [REDIS_URL],  # a list: commas separate the sentinels
        "KEY_PREFIX": "ringi",
        "OPTIONS": {
            "pool_class": "config.queue_server.CachePool",
            "own_password": SENTINEL_PASSWORD,
            "socket_connect_timeout": 0.5,
            "socket_timeout": 0.5,
        },
    },
}
# The month in which the fiscal year begins: numbers of releases and figures follow it.
FISCAL_YEAR_START_MONTH = env.int("RINGI_FISCAL_YEAR_START_MONTH", 4)
# The zone of the office, in which it begins; environments have zones of their own.
OFFICE_TIME_ZONE = env.str("RINGI_TIME_ZONE", "Asia/Tokyo")
# Files of one call that uploads evidence; the operation refuses more.
DATA_UPLOAD_MAX_NUMBER_FILES = 1000
# Calls per token and span (s, m, h). The demo looks ten times a second.
API_RATE_LIMIT = env.str("RINGI_API_RATE_LIMIT", "1200/m" if TRIAL else "120/m")

# Seconds. A lease is renewed every HEARTBEAT_INTERVAL while a step runs; the scheduler polls every POLL_INTERVAL.
LEASE_DURATION = env.float("RINGI_LEASE_DURATION", 15.0)
HEARTBEAT_INTERVAL = env.float("RINGI_HEARTBEAT_INTERVAL", 5.0)
POLL_INTERVAL = env.float("RINGI_POLL_INTERVAL", 1.0)
# The file of the ledger signer's public keys, which root put outside the database to verify; empty: the signer's.
LEDGER_PUBLIC_KEY = env.str("RINGI_LEDGER_PUBLIC_KEY", "")
# The token that holds the ledger signer's key, and its PIN; empty: the key lies in a file of the signer's folder.
LEDGER_TOKEN = env.str("RINGI_LEDGER_TOKEN", "")
LEDGER_TOKEN_PIN = env.str("RINGI_LEDGER_TOKEN_PIN", "")
# The time-stamping authority (RFC 3161) of the ledger signer, and the file of the certificates that are trusted for it.
TIME_STAMP_URL = env.str("RINGI_TIME_STAMP_URL", "")
TIME_STAMP_CA = env.str("RINGI_TIME_STAMP_CA", "")
# Where manage.py ledger_stream sends the events of the ledger.
STREAM_URL = env.str("RINGI_STREAM_URL", "")
STREAM_TOKEN = env.str("RINGI_STREAM_TOKEN", "")
# After so many seconds without a heartbeat the scheduler, the ledger signer, or a queue where work waits, is called
# unresponsive; 0: never.
HEARTBEAT_TIMEOUT = env.float("RINGI_HEARTBEAT_TIMEOUT", 90.0)
METRICS_TOKEN = env.str("RINGI_METRICS_TOKEN", "")
# The hour (UTC) from which history rows are compared with the ledger, once a day; 17 is two at night in Tokyo.
RECONCILIATION_HOUR = env.int("RINGI_RECONCILIATION_HOUR", 17)
REAUTHENTICATION_TIMEOUT = 300
FACT_MAX_AGE = 60
TAG_SIGNING_KEY = env.str("RINGI_TAG_SIGNING_KEY", "")

# How messages and checkpoints are mailed. Without RINGI_MAIL_URL no message is mailed, and each delivery says so.
_mail = env.email_url("RINGI_MAIL_URL", default="smtp://localhost:25")
MAIL_HOST = _mail["EMAIL_HOST"] if env.str("RINGI_MAIL_URL", "") else ""
MAILERS = {
    "default": {
        "BACKEND": _mail["EMAIL_BACKEND"],
        "OPTIONS": {
            "host": _mail["EMAIL_HOST"],
            "port": _mail["EMAIL_PORT"] or 25,
            "username": _mail["EMAIL_HOST_USER"] or "",
            "password": _mail["EMAIL_HOST_PASSWORD"] or "",
            "use_tls": bool(_mail.get("EMAIL_USE_TLS")),
            "use_ssl": bool(_mail.get("EMAIL_USE_SSL")),
            "timeout": 15,
        },
    }
}
DEFAULT_FROM_EMAIL = env.str("RINGI_MAIL_FROM", "Ringi <ringi@localhost>")
MAIL_DOMAINS = [domain.lower() for domain in env.list("RINGI_MAIL_DOMAINS", default=[])]
NOTIFICATION_HOSTS = [host.lower() for host in env.list("RINGI_NOTIFICATION_HOSTS", default=[])]
NOTIFICATION_NETWORKS = env.list("RINGI_NOTIFICATION_NETWORKS", default=[])
ARTEFACT_FOLDER = env.str("RINGI_ARTEFACT_FOLDER", "")
GIT_NETWORKS = env.list("RINGI_GIT_NETWORKS", default=[])
APPRISE_TYPES = [kind.lower() for kind in env.list("RINGI_APPRISE_TYPES", default=[])]
REMINDER_MINUTES = env.int("RINGI_REMINDER_MINUTES", 24 * 60)
REMINDER_MINUTES_URGENT = env.int("RINGI_REMINDER_MINUTES_URGENT", 30)

AUTH_USER_MODEL = "environments.Account"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "environments.backend.GrantBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/admin/"
ACCOUNT_ADAPTER = "environments.sign_in.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_REAUTHENTICATION_TIMEOUT = REAUTHENTICATION_TIMEOUT
# Passwords and codes are counted by axes, by name and address together: others cannot lock an account out, neither
# behind the same address nor under the same name. login_failed limits codes in each web process as well.
ACCOUNT_RATE_LIMITS = {"reauthenticate": "60/m/user", "login": "", "login_failed": "5/300s/key"}
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_ADAPTER = "environments.sign_in.FactorAdapter"
MFA_FORMS = {
    "authenticate": "environments.sign_in_factor.AuthenticateForm",
    "authenticate_webauthn": "environments.sign_in_factor.AuthenticateKeyForm",
    "reauthenticate": "environments.sign_in_factor.ReauthenticateForm",
    "reauthenticate_webauthn": "environments.sign_in_factor.ReauthenticateKeyForm",
}
MFA_TOTP_TOLERANCE = 1  # steps of 30 s by which an app's clock may differ; RFC 6238 recommends at most one
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "environments.sign_in.counted_name"
AXES_LOCKOUT_TEMPLATE = "account/locked.html"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# Single sign-on by an OpenID provider; empty: none. Which `acr` values of the provider count as a second factor: none.
OIDC_ISSUER = env.str("RINGI_OIDC_ISSUER", "")
OIDC_CLIENT_ID = env.str("RINGI_OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = env.str("RINGI_OIDC_CLIENT_SECRET", "")
OIDC_NAME = env.str("RINGI_OIDC_NAME", "")
OIDC_SECOND_FACTOR = env.list("RINGI_OIDC_SECOND_FACTOR", default=[])
# The claim that names the groups of a person; empty: groups give no roles. A scope that the provider wants for it.
OIDC_GROUPS_CLAIM = env.str("RINGI_OIDC_GROUPS_CLAIM", "")
OIDC_SCOPE = env.str("RINGI_OIDC_SCOPE", "openid")
# In its place by a SAML provider: its metadata (XML), the attribute that is the lasting name of a person (empty: a
# persistent NameID), the attribute of their groups, and which AuthnContextClassRef count as a second factor: none.
SAML_METADATA = env.str("RINGI_SAML_METADATA", "")
SAML_NAME = env.str("RINGI_SAML_NAME", "")
SAML_SUBJECT_ATTRIBUTE = env.str("RINGI_SAML_SUBJECT_ATTRIBUTE", "")
SAML_GROUPS_ATTRIBUTE = env.str("RINGI_SAML_GROUPS_ATTRIBUTE", "")
SAML_SECOND_FACTOR = env.list("RINGI_SAML_SECOND_FACTOR", default=[])

LANGUAGE_CODE = "ja"
LANGUAGES = [("ja", _("Japanese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = STATE_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.static_files.StaticFiles"},
}
WHITENOISE_USE_FINDERS = DEBUG

PROXY_COUNT = env.int("RINGI_PROXY_COUNT", 0)
SECURE_HTTPS = env.bool("RINGI_HTTPS", BASE_URL.startswith("https://"))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = SECURE_HTTPS
# Without TLS a browser offers keys to localhost only; there the origin is http.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not SECURE_HTTPS
SECURE_HSTS_SECONDS = 31536000 if SECURE_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_ENGINE = "environments.sessions"
IDLE_MINUTES = env.float("RINGI_IDLE_MINUTES", 480)
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [] if SECURE_HTTPS else ["security.W004", "security.W008", "security.W012", "security.W016"]
# Where pages have the stream of changes (config.asgi); empty: they ask the web process every few seconds.
LIVE_URL = env.str("RINGI_LIVE_URL", "")
SECURE_CSP = {
    "default-src": [CSP.SELF],
    "connect-src": [CSP.SELF, *(["/".join(LIVE_URL.split("/")[:3])] if "://" in LIVE_URL else [])],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
    "img-src": [CSP.SELF, "data:"],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
}
SIMPLE_HISTORY_REVERT_DISABLED = True
SIMPLE_HISTORY_HISTORY_CHANGE_REASON_USE_TEXT_FIELD = True

UNFOLD = {
    "SITE_TITLE": "Ringi",
    "SITE_HEADER": "Ringi 稟議",
    "SITE_SYMBOL": "approval",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": False,
    "SIDEBAR": {"navigation": "releases.admin.components.navigation.navigation", "show_search": False},
    "STYLES": [lambda request: static("ringi/ringi.css")],
    # The accent of ringi.css; 500 is for dark pages and 600 for light ones, each readable on its ground.
    "COLORS": {
        "primary": {
            "50": "#f4f2ff",
            "100": "#ebe7ff",
            "200": "#d9d1ff",
            "300": "#c3b6ff",
            "400": "#b3a5ff",
            "500": "#a391ff",
            "600": "#5b3fd6",
            "700": "#4a32b8",
            "800": "#3b2893",
            "900": "#2f2073",
            "950": "#1c1346",
        }
    },
}

_passwords = (str(DATABASES["default"].get("PASSWORD") or ""), _mail["EMAIL_HOST_PASSWORD"] or "")
_secrets = {*_passwords, SECRET_KEY, REDIS_URL, SENTINEL_PASSWORD, METRICS_TOKEN, STREAM_TOKEN, LEDGER_TOKEN_PIN}
_secrets |= {OIDC_CLIENT_SECRET}
LOG_FORMAT = env.str("RINGI_LOG_FORMAT", "line")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "json": {"()": "config.logs.json_lines", "process": PROCESS, "secrets": _secrets},
    },
    "filters": {"addresses": {"()": "config.logs.WithoutSecrets"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["addresses"]}},
    "root": {"handlers": ["console"], "level": env.str("RINGI_LOG_LEVEL", "INFO")},
    "loggers": {
        "rq.worker": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        # In place of its own handlers, which write lines of another form.
        **{name: {"handlers": [], "propagate": True} for name in ("uvicorn", "uvicorn.error", "uvicorn.access")},
    },
}

for _name, _holds, _shape in (
    ("RINGI_API_RATE_LIMIT", re.fullmatch(r"[1-9][0-9]*/[smh]", API_RATE_LIMIT), "calls per s, m or h, such as 120/m"),
    ("RINGI_TIME_ZONE", OFFICE_TIME_ZONE in available_timezones(), "a time zone such as Asia/Tokyo"),
    ("RINGI_FISCAL_YEAR_START_MONTH", 1 <= FISCAL_YEAR_START_MONTH <= 12, "a month, 1 to 12"),
    ("RINGI_RECONCILIATION_HOUR", 0 <= RECONCILIATION_HOUR <= 23, "an hour (UTC), 0 to 23"),
    (
        "RINGI_LEASE_DURATION",
        LEASE_DURATION > HEARTBEAT_INTERVAL > 0,
        "more seconds than RINGI_HEARTBEAT_INTERVAL, and RINGI_HEARTBEAT_INTERVAL more than 0",
    ),
    ("RINGI_POLL_INTERVAL", POLL_INTERVAL > 0, "more than 0 seconds"),
    ("RINGI_HEARTBEAT_TIMEOUT", HEARTBEAT_TIMEOUT >= 0, "0 or more seconds"),
    ("RINGI_PROXY_COUNT", PROXY_COUNT >= 0, "how many proxies stand in a row, 0 or more"),
    (
        "RINGI_OIDC_ISSUER",
        not OIDC_ISSUER or (OIDC_CLIENT_ID and re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", OIDC_ISSUER)),
        "an address of https, beside RINGI_OIDC_CLIENT_ID; http only on this machine",
    ),
    (
        "RINGI_SAML_METADATA",
        not SAML_METADATA or (not OIDC_ISSUER and readable(SAML_METADATA)),
        "SAML 2.0 metadata of one identity provider, in place of RINGI_OIDC_ISSUER: its entity ID, an https address for"
        " HTTP-Redirect, and certificates (RSA from 2048 bits, or EC)",
    ),
    (
        "RINGI_TIME_STAMP_URL",
        bool(TIME_STAMP_URL) == bool(TIME_STAMP_CA) and re.match(r"https?://|$", TIME_STAMP_URL),
        "an address of http or https, beside the file RINGI_TIME_STAMP_CA; neither is set without the other",
    ),
    (
        "RINGI_LEDGER_TOKEN",
        re.fullmatch(r"(pkcs11:token=[^;?&]+\?module-path=/[^;?&]+)?", LEDGER_TOKEN),
        "a URI such as pkcs11:token=ringi?module-path=/usr/lib/softhsm/libsofthsm2.so",
    ),
    ("RINGI_LOG_FORMAT", LOG_FORMAT in ("line", "json"), "line or json"),
):
    if not _holds:
        raise ImproperlyConfigured(f"{_name} must be {_shape}")
