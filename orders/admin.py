"""Orders for staff: read, release from hold, cancel, correct the email address. Nothing else changes here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from backroom.ledger.models import Job
from backroom.ops import audit_log
from backroom.ops.admin import ReadOnly
from backroom.ops.audit_log import REASON_NEEDED, WHY_LIMIT
from orders import export_admin, follow_ups, weekly_admin  # noqa: F401 - the other pages
from orders.models import AccountingBatch, Label, LoyaltyAccount, Order, OrderLine, PaymentEvent, Repair, ShipmentEvent
from orders.ordering import cancellation, correction, settlement
from orders.storefront import text
from orders.storefront.order_pages import pdf

AT_MOST = 500  # orders in one change


@dataclass(frozen=True)
class Act:
    """What staff do to orders."""

    name: str
    label: str
    verb: Callable[..., bool]  # of the number, and the value of `field`
    past: str
    effect: str
    field: str = ""  # of one order, that gets the typed value


RELEASE = Act(
    "release_hold", "Release from hold, capture and ship", settlement.release_hold, "released from hold",
    "The payment is captured and the shipment requested.",
)  # fmt: skip
CANCEL = Act(
    "cancel", "Cancel and refund", cancellation.cancel, "cancelled",
    "The payment goes back and the customer gets an email.",
)  # fmt: skip
CORRECT = Act(
    "correct_email", "Correct the email address", correction.correct_email, "email corrected",
    "Emails that failed are sent again. The old link to the order ends; “Find my order” mails a new one.",
    field="email",
)  # fmt: skip


class LineInline(ReadOnly, admin.TabularInline):
    model = OrderLine
    fields = ["name", "unit", "unit_price", "vat_rate", "quantity"]
    extra = 0


class ReportInline(ReadOnly, admin.TabularInline):
    fields = ["kind", "at", "received_at"]
    readonly_fields = ["received_at"]
    extra = 0


class EventInline(ReportInline):
    model = ShipmentEvent
    verbose_name_plural = "reports of the warehouse"


class PaymentEventInline(ReportInline):
    model = PaymentEvent
    verbose_name_plural = "reports of the payment gateway"


@admin.register(Order)
class OrderAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["number", "status", "name", "total", "currency", "created_at", "paid_at", "jobs"]
    list_filter = ["status", "created_at"]
    search_fields = ["=number", "email", "name"]
    fields = [
        "number", "status", ("total", "delivery", "currency"), "arrives_on", ("created_at", "paid_at"),
        ("held_at", "charged_at", "sent_at", "returned_at", "erased_at"), ("tracking", "shipped_at", "delivered_at"),
        "shipping_label", "email", "name", "address", ("postcode", "city", "country"), "page", "jobs",
    ]  # fmt: skip
    readonly_fields = ["shipping_label", "page", "jobs"]
    inlines = [LineInline, EventInline, PaymentEventInline]
    actions = ["release_hold", "cancel", "correct_email"]
    show_full_result_count = False

    @admin.display(description="customer's page")
    def page(self, order: Order) -> str:
        return format_html('<a href="{}">{}</a>', order.get_absolute_url(), order)

    @admin.display
    def shipping_label(self, order: Order) -> str:
        if not Label.objects.filter(order=order).exists():
            return "-"
        return format_html('<a href="{}">PDF</a>', reverse("admin:orders_order_label", args=[order.number]))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.label_pdf)
        return [path("<int:number>/label.pdf", view, name="orders_order_label"), *super().get_urls()]

    def label_pdf(self, request: HttpRequest, number: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return pdf(get_object_or_404(Label, order=number), f"label-{number}")

    @admin.display(description="jobs")
    def jobs(self, order: Order) -> str:
        return format_html('<a href="{}?q={}">jobs</a>', reverse("ops:jobs"), order.number)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_order")

    @admin.action(description=RELEASE.label, permissions=["release"])
    def release_hold(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        return self._confirm(request, queryset, RELEASE)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """A refund needs a permission of its own."""
        return request.user.has_perm("orders.cancel_order")

    @admin.action(description=CANCEL.label, permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        return self._confirm(request, queryset, CANCEL)

    @admin.action(description=CORRECT.label, permissions=["release"])
    def correct_email(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        return self._confirm(request, queryset, CORRECT)

    def _confirm(self, request: HttpRequest, queryset: QuerySet[Order], act: Act) -> HttpResponse | None:
        """A page that asks for a reason; once it is given, the change."""
        most = 1 if act.field else AT_MOST
        orders = list(queryset[: most + 1])
        if len(orders) > most:
            self.message_user(request, f"Choose at most {most} order{pluralize(most)}.", messages.ERROR)
            return None
        typed, wrong = _typed(request, act)
        confirmed, why = "confirm" in request.POST, audit_log.reason(request.POST.get("why", ""))
        if confirmed and why and not wrong:
            self._apply(request, orders, act, why, typed)
            return None
        context = self.admin_site.each_context(request) | {
            "title": f"{act.label}: {len(orders)} order{pluralize(len(orders))}?",
            "act": act, "orders": orders, "typed": typed, "why": why, "why_limit": WHY_LIMIT,
            "problem": (wrong or REASON_NEEDED) if confirmed else "",
        }  # fmt: skip
        return TemplateResponse(request, "admin/orders/order/act.html", context)

    def _apply(self, request: HttpRequest, orders: list[Order], act: Act, why: str, typed: list[str]) -> None:
        """Each order with its entry in one transaction, so of two clicks one is logged."""
        done = 0
        for order in orders:
            with transaction.atomic():
                if act.verb(order.number, *typed):
                    jobs = Job.objects.filter(key__in=follow_ups.keys(order.number)).values_list("id", flat=True)
                    audit_log.note(act.past, str(order), request.user.get_username(), why, [str(id) for id in jobs])
                    self.log_change(request, order, f"{act.past}: {why}")
                    done += 1
        message = f"{done} {act.past}. {act.effect}" if done else "No order was changed."
        self.message_user(request, message, messages.SUCCESS if done else messages.WARNING)


def _typed(request: HttpRequest, act: Act) -> tuple[list[str], str]:
    """The value for the act's field, and what is wrong with it."""
    if not act.field:
        return [], ""
    typed = request.POST.get(act.field, "")
    try:
        return [text.clean(act.field, typed)], ""
    except ValidationError as error:
        return [typed], error.messages[0]


def job_links(job: Job, user: Any) -> list[tuple[str, str]]:
    """For the operations pages: the order that a job belongs to, if the user may see it."""
    number = follow_ups.number_of(job.key or "") or job.context.get("order")
    if number is None or not user.has_perm("orders.view_order"):
        return []
    return [(f"Order {number}", reverse("admin:orders_order_change", args=[number]))]


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


@admin.register(AccountingBatch)
class AccountingBatchAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["id", "series", "first", "last", "created_at", "sent_at"]
    list_filter = ["series", "sent_at"]
    show_full_result_count = False
