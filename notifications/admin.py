"""Notices, bounces and webhook endpoints for staff, read-only. To delete a bounce is to lift it: bulk mail then reaches
the address again."""

from urllib.parse import urlsplit

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from backroom.ops.admin import ReadOnly
from notifications import bounces
from notifications.models import Bounce, Endpoint, Notice


@admin.register(Notice)
class NoticeAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["key", "channel", "state", "created_at", "ended_at", "job"]
    fields = ["key", "user", "channel", "state", "provider_id", "created_at", "ended_at", "job"]
    readonly_fields = ["job"]
    list_filter = ["state", "channel", "kind", "created_at"]
    search_fields = ["=key", "=provider_id"]
    search_help_text = "a whole key such as shipped:1001, or the provider's id"
    show_full_result_count = False

    @admin.display(description="job")
    def job(self, notice: Notice) -> str:
        return format_html('<a href="{}?q={}:{}">job</a>', reverse("ops:jobs"), notice.channel, notice.key)


@admin.register(Bounce)
class BounceAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["address", "reason", "created_at"]
    search_fields = ["=address"]
    show_full_result_count = False

    def has_delete_permission(self, request: HttpRequest, obj: Bounce | None = None) -> bool:
        return request.user.has_perm("notifications.delete_bounce")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Bounce]:
        return bounces.standing()

    def delete_model(self, request: HttpRequest, obj: Bounce) -> None:
        bounces.lift(bounces.standing().filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Bounce]) -> None:
        bounces.lift(queryset)


@admin.register(Endpoint)
class EndpointAdmin(ReadOnly, admin.ModelAdmin):
    """Of its address the host only: many receivers have a secret in the path. The owner acts on /accounts/webhooks/."""

    list_display = ["__str__", "owner", "host", "state", "failing_since", "created_at"]
    fields = ["owner", "host", "events", "in_order", "state", "failing_since", "created_at", "deliveries"]
    list_filter = ["state"]
    list_select_related = ["user"]
    search_fields = ["=user__email"]
    search_help_text = "the whole address of an account"
    show_full_result_count = False

    @admin.display(description="owner")
    def owner(self, endpoint: Endpoint) -> str:
        return endpoint.user.email

    @admin.display(description="host")
    def host(self, endpoint: Endpoint) -> str:
        return urlsplit(endpoint.url).hostname or ""

    @admin.display(description="deliveries of 30 days")
    def deliveries(self, endpoint: Endpoint) -> str:
        counts = endpoint.deliveries.order_by().values_list("state").annotate(Count("pk"))
        return ", ".join(f"{count} {state}" for state, count in sorted(counts)) or "none"
