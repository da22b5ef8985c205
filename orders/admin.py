"""Orders for staff: to look at, and to let one on hold be shipped. Statuses change by verbs, never by typing."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from orders import settlement, timeline
from orders.models import LoyaltyAccount, Order, OrderLine


class LookOnly:
    """Nothing is added, changed or deleted by hand."""

    def has_add_permission(self, *args) -> bool:
        return False

    def has_change_permission(self, *args) -> bool:
        return False

    def has_delete_permission(self, *args) -> bool:
        return False


class LineInline(LookOnly, admin.TabularInline):
    model = OrderLine
    fields = ["name", "unit", "unit_price", "vat_rate", "quantity"]
    extra = 0


@admin.register(Order)
class OrderAdmin(LookOnly, admin.ModelAdmin):
    list_display = ["number", "status", "name", "total", "currency", "created_at", "paid_at", "jobs"]
    list_filter = ["status", "created_at"]
    search_fields = ["=number", "email", "name"]
    fields = [
        "number", "status", ("total", "currency"), ("created_at", "paid_at"), "email", "name", "address",
        ("postcode", "city", "country"), "page", "jobs",
    ]  # fmt: skip
    readonly_fields = ["page", "jobs"]
    inlines = [LineInline]
    actions = ["release_hold"]
    show_full_result_count = False

    @admin.display(description="customer's page")
    def page(self, order: Order) -> str:
        return format_html('<a href="{}">{}</a>', order.get_absolute_url(), order)

    @admin.display(description="jobs")
    def jobs(self, order: Order) -> str:
        keys = ",".join(timeline.keys_of(order.number))
        return format_html('<a href="{}?key__in={}">jobs</a>', reverse("admin:jobs_job_changelist"), keys)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_order")

    @admin.action(description="Release from hold and ship", permissions=["release"])
    def release_hold(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        released = [number for number in queryset.values_list("number", flat=True) if settlement.release_hold(number)]
        for number in released:
            self.log_change(request, Order(number=number), "Released from hold.")
        level = messages.SUCCESS if released else messages.WARNING
        self.message_user(request, f"{len(released)} released; the warehouse is asked now.", level)


@admin.register(LoyaltyAccount)
class LoyaltyAdmin(LookOnly, admin.ModelAdmin):
    list_display = ["email", "points"]
    search_fields = ["email"]
