"""Django and Celery settings. shop/environment.py reads and checks the variables; Celery's numbers were measured."""

from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from kombu import Queue
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from backroom.observe.redact import redact
from shop.environment import BASE_DIR as BASE_DIR
from shop.environment import VAR, Environment
from shop.logs import configuration
from shop.schedule import SCHEDULE

env = Environment()

# Django
DEBUG = env.DEBUG
SECRET_KEY = env.SECRET_KEY
if not DEBUG and len(SECRET_KEY) < 50:
    raise ImproperlyConfigured("SECRET_KEY is too short: use 50 random characters or more.")
ALLOWED_HOSTS = env.ALLOWED_HOSTS
SITE_URL = env.SITE_URL
CSRF_TRUSTED_ORIGINS = [SITE_URL]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

INSTALLED_APPS = [
    "shop",
    "marketing",
    "orders",
    "accounts",
    "catalog",
    "notifications",
    "backroom",
    "backroom.ops",
    "django_celery_beat",
    "allauth",
    "allauth.account",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "django_htmx",
    "ninja",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "django.forms",
]
MIDDLEWARE = [
    "shop.request_log.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "shop.body_limit.BodyLimitMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "shop.no_store.NoStoreMiddleware",
    "shop.error_pages.ErrorPageMiddleware",
    "shop.unavailable.SessionMiddleware",
    "shop.health.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "shop.staff.session.StaffMiddleware",
    "shop.body_limit.UploadMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "csp.middleware.CSPMiddleware",
    "backroom.inbound.overload.OverloadMiddleware",
    "shop.unavailable.DatabaseErrorMiddleware",
    "shop.limited.LimitMiddleware",
    "shop.not_found.NotFoundMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "orders.storefront.cart.cart_count",
                "shop.context_processors.shopfront",
            ]
        },
    }
]

# PostgreSQL. Kept connections with health checks answered every request after a database restart; psycopg's pool lost
# one or two. The limits keep a statement from holding a worker or a customer for longer, and a process that froze in a
# transaction from delaying the rescue of its rows. The compare-and-set statements need read committed.
# A cut link sends no RST: by the keepalives both ends notice it after 13 s, and not after 15 minutes or two hours.
_keepalives = {"keepalives_idle": 10, "keepalives_interval": 3, "tcp_user_timeout": 10_000}  # s, s and ms
# libpq reads its own URL: it may name several hosts, and target_session_attrs.
try:
    _url = conninfo_to_dict(env.DATABASE_URL)
except ProgrammingError:  # whose text may show the password
    raise ImproperlyConfigured("DATABASE_URL is refused by libpq: see its connection URIs.") from None
_names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
_database = {name: _url.pop(key, "") for name, key in _names.items()}
_options = (
    f"-c statement_timeout={env.DATABASE_STATEMENT_TIMEOUT}s -c lock_timeout=5s"
    " -c idle_in_transaction_session_timeout=10s -c default_transaction_isolation=read\\ committed"
    " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=3 -c tcp_user_timeout=10s"
)
DATABASES = {
    "default": {
        **_database,
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": env.DISABLE_SERVER_SIDE_CURSORS,
        "OPTIONS": {"connect_timeout": 3, **_keepalives, **_url, "options": _options},
    }
}

# Files: static ones; pictures and clips; imports and exports, for staff alone. Each view decides who gets what, also
# where an S3 bucket holds them.
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"


def _storage(folder: str) -> dict[str, Any]:
    if bucket := env.STORAGE_URL.removeprefix("s3://"):
        return {
            "BACKEND": "shop.bucket.Bucket",
            "OPTIONS": {"bucket_name": bucket, "location": folder, "file_overwrite": False},
        }
    own = {"location": VAR / "files" / folder, "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
    return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": own}


STORAGES = {
    "media": _storage("media"),
    "default": _storage("private"),
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG

# Security. With https all cookies and links are secure; the demo on 127.0.0.1 uses http.
SECURE = SITE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = SECURE
if SECURE:  # a browser takes such a cookie from this host only, and from no page without https
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
# A choice: both bind the other hosts of the domain, and a browser's preload list keeps a domain for months.
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE and env.HSTS_SCOPE != "host"
SECURE_HSTS_PRELOAD = SECURE and env.HSTS_SCOPE == "preload"
# files.E001: catalog/media/temporary.py makes the folder.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021", "files.E001"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE else None
# Machines in the internal network request these, every few seconds, without https and by any address.
MACHINE_PATHS = ("/healthz", "/readyz", "/metrics")
SECURE_REDIRECT_EXEMPT = [f"^{path[1:]}$" for path in MACHINE_PATHS]
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],  # data: for the pages of the API's documentation
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # bytes; no form or API call of ours is larger, but for files
UPLOAD_MAX_SIZE = 256 * 1024 * 1024  # bytes of a request in which staff upload files
FILE_UPLOAD_TEMP_DIR = VAR / "files" / "incoming"  # on the disk of the stored files: to store one is a rename
AUTHENTICATION_BACKENDS = [
    "shop.sign_in.Limits",
    "django.contrib.auth.backends.ModelBackend",
    "accounts.backend.CustomerBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Customers' accounts. inbound/limits.py counts their attempts, so allauth's own limits, of one process, are off.
LOGIN_URL, LOGIN_REDIRECT_URL = "account_login", "accounts:overview"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_RATE_LIMITS = False
ACCOUNT_ADAPTER = "accounts.adapter.Adapter"
ACCOUNT_FORMS = {
    "login": "accounts.forms.SignInForm",
    "signup": "accounts.forms.SignUpForm",
    "add_email": "accounts.forms.AddressForm",
    "change_password": "accounts.forms.PasswordChangeForm",
    "reset_password": "accounts.forms.ResetForm",
}
ACCOUNT_PREVENT_ENUMERATION = "strict"
ACCOUNT_SESSION_REMEMBER = True  # as a guest's session, which holds the cart
PASSWORD_RESET_TIMEOUT = 900  # seconds; of the links that verify an address, too
STAFF_TOTP = env.STAFF_TOTP if env.STAFF_TOTP is not None else not DEBUG
STAFF_SESSION_HOURS, STAFF_IDLE_MINUTES = env.STAFF_SESSION_HOURS, env.STAFF_IDLE_MINUTES
OTP_TOTP_ISSUER = "Backroom"  # what an authenticator app shows beside the username

# Mail
_mail = urlsplit(env.EMAIL_URL)
EMAIL_HOST, EMAIL_PORT = _mail.hostname, _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.scheme in ("smtps", "smtp+tls"), _mail.scheme == "smtp+ssl"
EMAIL_BACKEND = "notifications.smtp.Backend"
EMAIL_TIMEOUT = 5  # seconds for each step of the SMTP session
DEFAULT_FROM_EMAIL = "Backroom Greengrocer <shop@backroom.example>"
STAFF_EMAIL = env.STAFF_EMAIL

# The shop and its partners
STORE_CURRENCY = "EUR"
INBOX_URL = env.INBOX_URL
CAMPAIGN_SLICE = env.CAMPAIGN_SLICE
DOCUMENTS_FROM = env.DOCUMENTS_FROM
CUSTOMER_RETENTION_DAYS, INVOICE_RETENTION_YEARS = env.CUSTOMER_RETENTION_DAYS, env.INVOICE_RETENTION_YEARS

WEBHOOK_SECRETS = {
    name: getattr(env, f"{name.upper()}_WEBHOOK_SECRET") for name in ("warehouse", "sms", "mail", "payments")
}
VAPID_PRIVATE_KEY = env.VAPID_PRIVATE_KEY

# Celery. LedgerCelery sets what the ledger needs.
CELERY_BROKER_URL = env.BROKER_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {"master_name": env.BROKER_MASTER}  # read with sentinel:// only
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_QUEUES = [Queue(name, routing_key=name) for name in ["critical", "default", "bulk", "media", "webhooks"]]
CELERY_BEAT_SCHEDULE = SCHEDULE
CELERY_TIMEZONE = "UTC"

# backroom
# Seconds for which a job may be due.
BACKROOM_QUEUE_OBJECTIVES = {"critical": 30, "default": 120, "bulk": 900, "media": 900, "webhooks": 900}
BACKROOM_REDIS_URL = env.REDIS_URL
BACKROOM_PARTNERS_URL = env.PARTNERS_URL
_RATED = "payments warehouse fraud analytics mail sms push campaign supplier accounting endpoint"
# Calls per second of all processes together.
BACKROOM_PARTNER_RATES = {name: getattr(env, f"{name.upper()}_RATE") for name in _RATED.split()}
if CLAMD_URL := env.CLAMD_URL:  # a virus scanner; its breaker is shown where there is one
    BACKROOM_PARTNER_RATES["clamd"] = 100
BACKROOM_STRANGERS_ALLOW = env.WEBHOOK_ALLOW
BACKROOM_LIMITS, BACKROOM_CLIENT_HEADER = env.LIMITS, env.CLIENT_HEADER
BACKROOM_WORKER_GRACE = env.WORKER_GRACE
BACKROOM_CANCEL_GRACE = env.CANCEL_GRACE
BACKROOM_REMOTE_CONTROL = not env.FLOWER_READ_ONLY
BACKROOM_DEPLOY_WINDOW = env.DEPLOY_WINDOW
BACKROOM_RETENTION_DAYS = env.JOBS_RETENTION_DAYS
BACKROOM_ALERT_MAIL_TO = env.ALERT_MAIL_TO  # on-call staff; an empty list is a warning at boot
BACKROOM_DISKS = [str(VAR)]
BACKROOM_CONTEXT_IDS = ("request_id", "order")
BACKROOM_SITE_URL, BACKROOM_FLOWER_URL = SITE_URL, env.FLOWER_URL
BACKROOM_JOB_LINKS = "orders.admin.job_links"

# Logs, metrics and traces
LOGGING = configuration(env.LOG_FORMAT or ("pretty" if DEBUG else "json"), redact)
METRICS_TOKEN = env.METRICS_TOKEN
METRICS_DIR = env.METRICS_DIR
TRACING = env.OTEL_EXPORTER_OTLP_ENDPOINT is not None  # OpenTelemetry reads the endpoint itself
