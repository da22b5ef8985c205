"""The Celery app. Its settings are those of shop/settings.py that begin with CELERY_."""

import os

from backroom.runtime.app import LedgerCelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
# Celery runs the system checks in each process and drops their results. `manage.py check` shows them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = LedgerCelery("backroom")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
