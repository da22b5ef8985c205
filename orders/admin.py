"""Orders for staff: to look at, to release from hold, to cancel. Statuses change by verbs, never by typing."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from orders.models import LoyaltyAccount, Order, OrderLine, Repair
from orders.ordering import cancellation, settlement
from orders.storefront import timeline


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
        "number", "status", ("total", "currency"), ("created_at", "paid_at"),
        ("held_at", "sent_at", "returned_at"), "email", "name", "address",
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
        keys = ",".join(timeline.keys_of(order.number))
        return format_html('<a href="{}?key__in={}">jobs</a>', reverse("admin:backroom_job_changelist"), keys)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_order")

    @admin.action(description="Release from hold, charge and ship", permissions=["release"])
    def release_hold(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        released = self._each(request, queryset, settlement.release_hold, "Released from hold.")
        self._tell(request, released, "released; the bank and the warehouse are asked now.")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Money goes back: not for everyone who may look."""
        return request.user.has_perm("orders.cancel_order")

    @admin.action(description="Cancel and give the money back", permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        cancelled = self._each(request, queryset, cancellation.cancel, "Cancelled; the money goes back.")
        self._tell(request, cancelled, "cancelled; the bank and the customer are told now.")

    def _each(self, request: HttpRequest, queryset: QuerySet[Order], verb: Callable[[int], bool], said: str) -> int:
        """Do it to each, and record it with what was done: of two clicks one does it, and is recorded. How many."""
        done = 0
        for number in queryset.values_list("number", flat=True):
            with transaction.atomic():
                if verb(number):
                    self.log_change(request, Order(number=number), said)
                    done += 1
        return done

    def _tell(self, request: HttpRequest, done: int, said: str) -> None:
        text = f"{done} {said}" if done else "Nothing was left to do."
        self.message_user(request, text, messages.SUCCESS if done else messages.WARNING)


@admin.register(LoyaltyAccount)
class LoyaltyAdmin(LookOnly, admin.ModelAdmin):
    list_display = ["email", "points"]
    search_fields = ["email"]


@admin.register(Repair)
class RepairAdmin(LookOnly, admin.ModelAdmin):
    list_display = ["key", "act", "why", "order", "created_at"]
    list_filter = ["act", "created_at"]
    search_fields = ["=key"]
    list_select_related = ["order"]
    show_full_result_count = False
