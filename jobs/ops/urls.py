"""Addresses under /ops/."""

from django.urls import path

from jobs.ops import acts, alerts, dead, edit, health, job, pauses, search

app_name = "ops"
urlpatterns = [
    path("", health.page, name="health"),
    path("history/", health.history_part, name="history"),
    path("jobs/", search.page, name="jobs"),
    path("jobs/<uuid:id>/", job.page, name="job"),
    path("jobs/<uuid:id>/edit/", edit.page, name="edit"),
    path("dead/", dead.page, name="dead"),
    path("act/", acts.act, name="act"),
    path("pause/", pauses.page, {"verb": "pause"}, name="pause"),
    path("resume/", pauses.page, {"verb": "resume"}, name="resume"),
    path("actions/", acts.recorded, name="actions"),
    path("alerts/", alerts.page, name="alerts"),
]
