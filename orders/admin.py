"""Orders for staff: read, release from hold, cancel. Only these actions change a status."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from backroom.ops.admin import ReadOnly
from orders import follow_ups
from orders.models import LoyaltyAccount, Order, OrderLine, Repair
from orders.ordering import cancellation, settlement


class LineInline(ReadOnly, admin.TabularInline):
    model = OrderLine
    fields = ["name", "unit", "unit_price", "vat_rate", "quantity"]
    extra = 0


@admin.register(Order)
class OrderAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["number", "status", "name", "total", "currency", "created_at", "paid_at", "jobs"]
    list_filter = ["status", "created_at"]
    search_fields = ["=number", "email", "name"]
    fields = [
        "number", "status", ("total", "delivery", "currency"), "arrives_on", ("created_at", "paid_at"),
        ("held_at", "charged_at", "sent_at", "returned_at"), "email", "name", "address",
        ("postcode", "city", "country"), "page", "jobs",
    ]  # fmt: skip
    readonly_fields = ["page", "jobs"]
    inlines = [LineInline]
    actions = ["release_hold", "cancel"]
    show_full_result_count = False

    @admin.display(description="customer's page")
    def page(self, order: Order) -> str:
        return format_html('<a href="{}">{}</a>', order.get_absolute_url(), order)

    @admin.display(description="jobs")
    def jobs(self, order: Order) -> str:
        keys = ",".join(follow_ups.keys(order.number))
        return format_html('<a href="{}?key__in={}">jobs</a>', reverse("admin:backroom_job_changelist"), keys)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_order")

    @admin.action(description="Release from hold, capture and ship", permissions=["release"])
    def release_hold(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        released = self._each(request, queryset, settlement.release_hold, "Released from hold.")
        self._report(request, released, "released. The payment is captured and the shipment requested.")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """A refund needs a permission of its own."""
        return request.user.has_perm("orders.cancel_order")

    @admin.action(description="Cancel and refund", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        cancelled = self._each(request, queryset, cancellation.cancel, "Cancelled; the payment goes back.")
        self._report(request, cancelled, "cancelled. The payment goes back and the customer gets an email.")

    def _each(self, request: HttpRequest, queryset: QuerySet[Order], verb: Callable[[int], bool], text: str) -> int:
        """Apply a verb to each order and log it in the same transaction, so of two clicks one is logged. Returns the
        number of changed orders."""
        done = 0
        for number in queryset.values_list("number", flat=True):
            with transaction.atomic():
                if verb(number):
                    self.log_change(request, Order(number=number), text)
                    done += 1
        return done

    def _report(self, request: HttpRequest, done: int, text: str) -> None:
        message = f"{done} {text}" if done else "No order was changed."
        self.message_user(request, message, messages.SUCCESS if done else messages.WARNING)


@admin.register(LoyaltyAccount)
class LoyaltyAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["email", "points"]
    search_fields = ["email"]


@admin.register(Repair)
class RepairAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["key", "act", "why", "order", "created_at"]
    list_filter = ["act", "created_at"]
    search_fields = ["=key"]
    list_select_related = ["order"]
    show_full_result_count = False
