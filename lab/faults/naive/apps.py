from django.apps import AppConfig

from lab.faults.naive import celery  # noqa: F401 - replaces the app before any room is loaded


class NaiveConfig(AppConfig):
    name = "lab.faults.naive"
    label = "naive"
