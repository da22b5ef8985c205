"""Addresses under /ops/."""

from django.urls import path

from jobs.ops import health, job, search

app_name = "ops"
urlpatterns = [
    path("", health.page, name="health"),
    path("history/", health.history_part, name="history"),
    path("jobs/", search.page, name="jobs"),
    path("jobs/<uuid:id>/", job.page, name="job"),
]
