"""The shop's settings with a plain Celery. They refuse to load without DEBUG."""

from django.core.exceptions import ImproperlyConfigured

from shop.settings import *  # noqa: F403
from shop.settings import CELERY_BROKER_URL, DEBUG, INSTALLED_APPS, MIDDLEWARE, SCHEDULE

if not DEBUG:
    raise ImproperlyConfigured("The naive shop loses work: it is for the demo and never runs without DEBUG.")

INSTALLED_APPS = ["lab.faults.naive", *INSTALLED_APPS]
MIDDLEWARE = ["lab.faults.naive.banner.Banner", *MIDDLEWARE]
WITHOUT_LEDGER = "Plain Celery with its defaults, no ledger"  # banner.py says so on every page
# These checks report that the Celery app is a plain one.
SILENCED_SYSTEM_CHECKS = ["backroom.E001", "backroom.E003"]

BACKROOM_PARTNER_RATES = {}  # no breakers and no rate limits

NAIVE_BROKER_URL = CELERY_BROKER_URL
# The reconciler does nothing here, even if beat finds its slot in the table that both shops share: no repairs.
NAIVE_TASK_ANNOTATIONS = {"orders.reconcile": {"run": lambda self: None}}
NAIVE_RESULT_EXPIRES = None  # else beat adds a slot of Celery's own to the shared table
NAIVE_TASK_DEFAULT_QUEUE = "default"
NAIVE_WORKER_SEND_TASK_EVENTS = True  # for Flower only
NAIVE_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# The ledger's own chores are left out.
CHORES = ("shop.clear_sessions", "orders.release_unpaid", "orders.mail_sales_report")
NAIVE_BEAT_SCHEDULE = {name: entry for name, entry in SCHEDULE.items() if entry["task"] in CHORES}
