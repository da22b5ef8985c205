"""The settings of a small Django project, the same for all contenders. BENCH_APPS adds a contender's own apps.

Each contender's settings are those that its documentation recommends. Names do not clash, so all stand here.
"""

import os

import dj_database_url

SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", *os.environ["BENCH_APPS"].split()]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
BROKER_URL = os.environ["BROKER_URL"]
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=60, conn_health_checks=True)}

# Celery, with and without the ledger; events are on, as Flower needs them.
CELERY_BROKER_URL = BROKER_URL
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_OUTBOX_APP = "bench.contenders.outbox.app"

PROCRASTINATE_IMPORT_PATHS = ["bench.contenders.procrastinated"]
Q_CLUSTER = {
    "name": "bench",
    "orm": "default",
    "workers": 2,
    "timeout": 50,
    "retry": 60,
    "bulk": 10,
    "queue_limit": 50,
    "poll": 0.05,  # seconds; by default 0.2
}
RQ_QUEUES = {"default": {"URL": BROKER_URL}}
RQ = {"COMMIT_MODE": "on_db_commit"}
DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.redis.RedisBroker",
    "OPTIONS": {"url": BROKER_URL},
    # As its README says, without the parts that only look: metrics, and rows for the admin.
    "MIDDLEWARE": [
        "dramatiq.middleware.AgeLimit",
        "dramatiq.middleware.TimeLimit",
        "dramatiq.middleware.Callbacks",
        "dramatiq.middleware.Retries",
        "django_dramatiq.middleware.DbConnectionsMiddleware",
    ],
}
HUEY = {"huey_class": "huey.RedisHuey", "name": "bench", "connection": {"url": BROKER_URL}, "immediate": False}

if "backroom" in INSTALLED_APPS:  # docs/adopt.md, and the shop's logs
    from backroom.observe.redact import redact
    from shop.logs import configuration

    LOGGING = configuration("json", redact)
    DATABASES["default"]["OPTIONS"] = {
        "options": "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=10s"
    }
