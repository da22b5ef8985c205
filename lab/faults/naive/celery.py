"""The naive shop's Celery app, written as Celery's page on Django says.

Its settings have the prefix NAIVE_ (settings.py), so none of the shop's CELERY_ settings applies by accident.
"""

import os

from celery import Celery

import backroom
import shop  # noqa: F401 - makes the ledger's app first, so that this one becomes the current app
from backroom.runtime import declared_task
from backroom.runtime.app import hide_secrets
from lab.faults.naive.task import enqueue_all, enqueue_many

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lab.faults.naive.settings")

app = Celery("naive", task_cls="lab.faults.naive.task:NaiveTask")
app.config_from_object("django.conf:settings", namespace="NAIVE")
hide_secrets(app)
app.autodiscover_tasks()
app.set_default()  # in all threads of the web server, instead of the ledger's app

# Before the rooms above import them by name.
backroom.enqueue_all = declared_task.enqueue_all = enqueue_all
backroom.enqueue_many = enqueue_many
