"""Addresses under /ops/."""

from django.urls import path

from jobs.ops import health

app_name = "ops"
urlpatterns = [
    path("", health.page, name="health"),
    path("history/", health.history_part, name="history"),
]
