"""Jobs and processes in Django's admin: read-only lists with filters. Operators act on jobs in /ops/."""

from django.apps import apps
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from backroom.ledger.models import Heartbeat, Job
from backroom.ops.formats import first_line

if apps.is_installed("django_celery_beat"):
    from backroom.ops import schedule_admin  # noqa: F401 - registers the schedules


class ReadOnly:
    """No adding, changing or deleting by hand."""

    def has_add_permission(self, *args) -> bool:
        return False

    def has_change_permission(self, *args) -> bool:
        return False

    def has_delete_permission(self, *args) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["__str__", "state", "attempts", "summary", "queue", "created", "operations"]
    readonly_fields = ["operations"]
    list_filter = ["state", "queue", "task"]
    search_fields = ["=key", "=id"]
    search_help_text = "a whole key such as receipt:1001, or a job's id"
    ordering = ["-id"]  # ids sort by time
    show_full_result_count = False

    @admin.display(description="error")
    def summary(self, job: Job) -> str:
        return first_line(job.error)

    @admin.display(description="created, UTC", ordering="id")
    def created(self, job: Job) -> str:
        return f"{job.created_at:%d %b %H:%M:%S}"

    @admin.display(description="operations")
    def operations(self, job: Job) -> str:
        return format_html('<a href="{}">Open</a>', reverse("ops:job", args=[job.id]))


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["name", "role", "queues", "started_at", "seen_at"]
