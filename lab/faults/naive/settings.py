"""The demo's settings with a plain Celery. They refuse to load without DEBUG, as the lab's do."""

from lab.settings import *  # noqa: F403
from lab.settings import INSTALLED_APPS
from shop.settings import CELERY_BROKER_URL, CELERY_IMPORTS, SCHEDULE

INSTALLED_APPS = ["lab.faults.naive", *INSTALLED_APPS]
# Of the ledger's checks those that say: this Celery is a plain one.
SILENCED_SYSTEM_CHECKS = ["backroom.E001", "backroom.E003"]

BACKROOM_PARTNER_RATES = {}  # nor does it keep breakers or rates

NAIVE_BROKER_URL = CELERY_BROKER_URL
# Without the reconciler: nobody mends what is lost, even if beat finds its slot in a table that it shares with ours.
NAIVE_IMPORTS = [name for name in CELERY_IMPORTS if name != "orders.reconcile"]
NAIVE_RESULT_EXPIRES = None  # else its beat would put a slot of Celery's own into the table that it shares with ours
NAIVE_TASK_DEFAULT_QUEUE = "default"
NAIVE_WORKER_SEND_TASK_EVENTS = True  # for Flower; it bears on nothing else
NAIVE_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# Chores of the ledger have nothing to do here.
CHORES = ("shop.clear_sessions", "orders.release_unpaid", "orders.mail_sales_report")
NAIVE_BEAT_SCHEDULE = {name: entry for name, entry in SCHEDULE.items() if entry["task"] in CHORES}
