"""Settings, read from the environment and from the file `env` that `make demo` writes into $BACKROOM_VAR.

Junk is refused here, at boot, with the variable's name. The numbers behind Celery's settings were measured.
"""

import re
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from backroom.observe.redact import clean
from shop.environment import read
from shop.logs import FORMATS, configuration
from shop.schedule import SCHEDULE

BASE_DIR = Path(__file__).resolve().parent.parent
env, VAR = read(BASE_DIR)

# Django
SECRET_KEY = env.checked("str", "SECRET_KEY")
DEBUG = env.flag("DEBUG", default=False)
ALLOWED_HOSTS = env.checked("list", "ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS should be the names under which the shop is reached, with commas.")
SITE_URL = env.address("SITE_URL", ("https", "http"), default="http://127.0.0.1:8000")
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
    "orders",
    "catalog",
    "notifications",
    "backroom",
    "backroom.ops",
    "django_celery_beat",
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
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "shop.unavailable.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "csp.middleware.CSPMiddleware",
    "shop.unavailable.DatabaseTrouble",
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
                "orders.cart.cart_count",
                "shop.context_processors.shopfront",
            ]
        },
    }
]

# PostgreSQL. Kept connections with health checks: after a database restart every request was answered (the pool
# of psycopg lost one or two). A statement may not hold a worker or a customer for longer than these limits; nor may a
# process that froze within a transaction keep its rows from being rescued for longer than a silent worker's are.
# DATABASE_STATEMENT_TIMEOUT=0 lifts it, for a migration of a grown table.
STATEMENT_TIMEOUT = env.checked("int", "DATABASE_STATEMENT_TIMEOUT", default=10)  # seconds
env.address("DATABASE_URL", ("postgres", "postgresql"))
DATABASES = {"default": env.db("DATABASE_URL")}
DATABASES["default"] |= {
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        "connect_timeout": 3,
        # The statements of the shop are compare-and-set, made for this isolation, whatever the database's default is.
        "options": f"-c statement_timeout={STATEMENT_TIMEOUT}s -c lock_timeout=5s"
        " -c idle_in_transaction_session_timeout=10s -c default_transaction_isolation=read\\ committed",
    },
}

# Static files
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG

# Safety. Over https all cookies and links are; the demo on 127.0.0.1 speaks http.
SECURE = SITE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = SECURE
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # asked from within, by machines
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
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # bytes; no form or API call of ours is larger
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Mail
env.address("EMAIL_URL", ("smtp", "smtps", "smtp+tls", "smtp+ssl"), default="smtp://127.0.0.1:1025")
globals().update(env.email("EMAIL_URL", default="smtp://127.0.0.1:1025"))
EMAIL_BACKEND = "notifications.smtp.Backend"
EMAIL_TIMEOUT = 5  # seconds for each step of the conversation
DEFAULT_FROM_EMAIL = "Backroom Greengrocer <shop@backroom.example>"
STAFF_EMAIL = env.checked("str", "STAFF_EMAIL", default="staff@backroom.example")
if "@" not in STAFF_EMAIL:
    raise ImproperlyConfigured("STAFF_EMAIL should be a mail address.")
ALERT_MAIL_TO = env.addresses("ALERT_MAIL_TO")  # who is called when something is wrong; nobody is a warning at boot

# The shop and its neighbours
STORE_CURRENCY = "EUR"
PARTNERS_URL = env.address("PARTNERS_URL", ("https", "http"), default="http://127.0.0.1:8100")
# Calls a second, of the whole fleet: MAIL_RATE=50 and so on.
PARTNER_RATES = {
    name: env.rate(f"{name.upper()}_RATE", default)
    for name, default in {"payments": 200, "warehouse": 100, "fraud": 100, "analytics": 100, "mail": 50}.items()
}
FLOWER_URL = env.address("FLOWER_URL", ("https", "http"), default="http://127.0.0.1:5555")
INBOX_URL = env.address("INBOX_URL", ("https", "http"), default="http://127.0.0.1:8025")

# Celery. A message is only a message: the ledger is the truth, so results, broker acknowledgements and the
# prefetch that would hide waiting messages in a worker are all switched off. Without the socket_timeout (seconds) a
# worker that is told to stop while the broker hangs waits for its goodbye until it is killed; with it, 13 s.
CELERY_BROKER_URL = env.address("BROKER_URL", ("redis", "rediss", "amqp", "amqps", "sqs"))
CELERY_BROKER_TRANSPORT_OPTIONS = {"ack_emulation": False, "socket_keepalive": True, "socket_timeout": 3}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_IMPORTS = ["orders.settlement", "orders.reconcile"]  # above orders/tasks.py, where Celery looks by itself
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # no results are kept, so beat needs no job that cleans them up
CELERY_TASK_TIME_LIMIT = 60  # seconds; WORKER_GRACE is more, so that every job can finish
CELERY_TASK_SOFT_TIME_LIMIT = 50
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_QUEUES = [Queue(name, routing_key=name) for name in ("critical", "default", "bulk")]
QUEUE_OBJECTIVES = {"critical": 30, "default": 120, "bulk": 900}  # seconds a job may be due before somebody is called
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_DB_REUSE_MAX = 1_000_000_000  # keep the connection: Celery would close it after every task
CELERY_BEAT_SCHEDULER = "backroom.runtime.scheduler:LedgerScheduler"
CELERY_BEAT_SCHEDULE = SCHEDULE
CELERY_TIMEZONE = "UTC"
WORKER_GRACE = env.checked("int", "WORKER_GRACE", default=70)  # seconds from SIGTERM to the supervisor's SIGKILL
DEPLOY_WINDOW = env.checked("int", "DEPLOY_WINDOW", default=600)  # seconds in which old and new code may run together
JOBS_RETENTION_DAYS = env.checked("int", "JOBS_RETENTION_DAYS", default=30)
if JOBS_RETENTION_DAYS < 1:
    raise ImproperlyConfigured("JOBS_RETENTION_DAYS should be 1 or more: finished jobs are remembered so long.")

if not DEBUG and len(SECRET_KEY) < 50:
    raise ImproperlyConfigured("SECRET_KEY is too short: use 50 random characters or more.")

# Logs, metrics and traces
LOG_FORMAT = env.checked("str", "LOG_FORMAT", default="pretty" if DEBUG else "json")
if LOG_FORMAT not in FORMATS:
    raise ImproperlyConfigured(f"LOG_FORMAT should be one of: {', '.join(FORMATS)}.")
LOGGING = configuration(LOG_FORMAT, clean)
METRICS_TOKEN = env.checked("str", "METRICS_TOKEN", default="")  # without one /metrics is for staff only
if METRICS_TOKEN and not re.fullmatch(r"[\x21-\x7e]{20,}", METRICS_TOKEN):
    raise ImproperlyConfigured("METRICS_TOKEN should be 20 random characters or more, without spaces, or not be set.")
METRICS_DIR = Path(env.checked("str", "METRICS_DIR", default=str(VAR / "metrics")))  # where web processes count
TRACING = "OTEL_EXPORTER_OTLP_ENDPOINT" in env  # OpenTelemetry reads it itself
if TRACING:
    env.address("OTEL_EXPORTER_OTLP_ENDPOINT", ("http", "https"))
