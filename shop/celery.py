"""The Celery app. Its settings are those of shop/settings.py that begin with CELERY_."""

import os

from backroom.runtime.app import LedgerCelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = LedgerCelery("backroom")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
