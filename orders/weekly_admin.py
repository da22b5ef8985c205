"""The weekly report in Django's admin: each staff member starts and stops it for themself."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from backroom.ops.admin import ReadOnly
from orders.models import WeeklyReader


@admin.register(WeeklyReader)
class WeeklyReaderAdmin(ReadOnly, admin.ModelAdmin):
    def has_view_permission(self, request: HttpRequest, obj: WeeklyReader | None = None) -> bool:
        return WeeklyReader.may_be(request.user)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            return super().changelist_view(request, extra_context)
        mine = WeeklyReader.objects.filter(user=request.user.pk)
        if request.method == "POST":
            if request.POST.get("act") == "stop":
                mine.delete()
                messages.success(request, "You no longer receive the report.")
            else:
                WeeklyReader.objects.get_or_create(user_id=request.user.pk)  # type: ignore[misc] # staff
                messages.success(request, "You receive the report from next Monday on.")
            return redirect("admin:orders_weeklyreader_changelist")
        context = self.admin_site.each_context(request) | {"title": "Weekly report", "reads": mine.exists()}
        return TemplateResponse(request, "admin/orders/weeklyreader/page.html", context)
