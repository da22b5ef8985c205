from django.apps import AppConfig

from lab.naive import celery  # noqa: F401 - the swap, before any room is loaded


class NaiveConfig(AppConfig):
    name = "lab.naive"
    label = "naive"
