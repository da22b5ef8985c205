"""Staff's view of the ledger: look, filter, replay, cancel. Nothing here edits a row: states change by the ledger."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.utils.html import format_html
from django.utils.text import Truncator

from backroom.ledger.models import Heartbeat, Job
from backroom.ops import audit_log
from backroom.runtime.conf import conf

IN_ADMIN = "chosen in the admin"


class ReadOnly(admin.ModelAdmin):
    """No adding, changing or deleting."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnly):
    """Jobs with their errors; dead letters are replayed or cancelled from the list."""

    list_display = ["__str__", "state", "attempts", "summary", "queue", "created", "flower"]
    readonly_fields = ["flower"]
    list_filter = ["state", "queue", "task"]
    search_fields = ["=key", "=id"]
    search_help_text = "a whole key such as receipt:1001, or a job's id"
    ordering = ["-id"]  # ids sort by time
    show_full_result_count = False
    actions = ["replay", "cancel"]

    @admin.display(description="error")
    def summary(self, job: Job) -> str:
        return Truncator(job.error.partition("\n")[0]).chars(60)

    @admin.display(description="created", ordering="id")
    def created(self, job: Job) -> str:
        return f"{job.created_at:%d %b %H:%M:%S}"

    @admin.display(description="Flower")
    def flower(self, job: Job) -> str:
        return format_html('<a href="{}/task/{}">Flower</a>', conf.FLOWER_URL, job.id)

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Replaying and cancelling ask for more than looking."""
        return request.user.has_perm("backroom.change_job")

    @admin.action(description="Replay: give dead or cancelled jobs all their attempts again", permissions=["act"])
    def replay(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        self._report(
            request,
            audit_log.replay([str(job.id) for job in jobs], request.user.get_username(), IN_ADMIN),
            jobs,
            "replayed",
        )

    @admin.action(description="Cancel: these need not run, nor those waiting for them", permissions=["act"])
    def cancel(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        done = audit_log.cancel([str(job.id) for job in jobs], request.user.get_username(), IN_ADMIN)
        self._report(request, done, jobs, "cancelled")

    def _report(self, request: HttpRequest, done: list[str], jobs: QuerySet[Job], verb: str) -> None:
        for job in Job.objects.filter(id__in=done):
            self.log_change(request, job, verb)
        self.message_user(
            request, f"{len(done)} job{pluralize(len(done))} {verb}.", messages.SUCCESS if done else messages.WARNING
        )


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnly):
    """The processes at work."""

    list_display = ["name", "role", "queues", "started_at", "seen_at"]
