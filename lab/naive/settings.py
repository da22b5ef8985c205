"""The shop's settings with a plain Celery. Only for the demo and the tests."""

from django.core.exceptions import ImproperlyConfigured

from shop.settings import *  # noqa: F403
from shop.settings import CELERY_BROKER_URL, CELERY_IMPORTS, DEBUG, INSTALLED_APPS, SCHEDULE

if not DEBUG:
    raise ImproperlyConfigured("The naive shop loses orders: it is for the demo and never runs without DEBUG.")

INSTALLED_APPS = ["lab.naive", *INSTALLED_APPS]
# Of the ledger's checks those that say: this Celery is a plain one.
SILENCED_SYSTEM_CHECKS = ["jobs.E001", "jobs.E003"]

PARTNER_RATES = {}  # nor does it keep breakers or rates

NAIVE_BROKER_URL = CELERY_BROKER_URL
NAIVE_IMPORTS = CELERY_IMPORTS
NAIVE_TASK_DEFAULT_QUEUE = "default"
NAIVE_WORKER_SEND_TASK_EVENTS = True  # for Flower; it bears on nothing else
NAIVE_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# Chores of the ledger have nothing to do here.
CHORES = ("shop.clear_sessions", "orders.release_unpaid", "orders.mail_sales_report")
NAIVE_BEAT_SCHEDULE = {name: entry for name, entry in SCHEDULE.items() if entry["task"] in CHORES}
