"""Addresses under /ops/."""

from django.urls import path

from backroom.ops.pages import access, actions, alerts, batch, dead, edit, job, jobs, overview, pauses, schedules

app_name = "ops"
urlpatterns = [
    path("", overview.page, name="health"),
    path("history/", overview.history_part, name="history"),
    path("tasks/", overview.tasks_part, name="tasks"),
    path("jobs/", jobs.page, name="jobs"),
    path("jobs/<uuid:id>/", job.page, name="job"),
    path("jobs/<uuid:id>/edit/", edit.page, name="edit"),
    path("jobs/<uuid:id>/cancel-batch/", batch.cancel, name="cancel-batch"),
    path("dead/", dead.page, name="dead"),
    path("act/", actions.act, name="act"),
    path("pause/", pauses.page, {"verb": "pause"}, name="pause"),
    path("resume/", pauses.page, {"verb": "resume"}, name="resume"),
    path("schedules/<int:id>/run/", schedules.run, name="run"),
    path("schedules/<int:id>/pause/", schedules.switch, {"verb": "pause"}, name="pause-schedule"),
    path("schedules/<int:id>/resume/", schedules.switch, {"verb": "resume"}, name="resume-schedule"),
    path("actions/", actions.recorded, name="actions"),
    path("alerts/", alerts.page, name="alerts"),
    path("<path:address>/", access.missing),
]
