"""Campaigns and subscriptions in Django's admin. A campaign is written here, and sent on its own page."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path

from backroom.ops.admin import ReadOnly
from marketing import campaign_pages
from marketing.models import Campaign, Subscription

DRAFT = Campaign.State.DRAFT


@admin.register(Campaign)
class CampaignAdmin(admin.ModelAdmin):
    list_display = ["subject", "state", "send_at", "recipients", "sent", "skipped", "failed", "created_by"]
    list_filter = ["state"]
    list_select_related = ["created_by"]
    fields = ["subject", "body", "bought"]
    autocomplete_fields = ["bought"]
    actions = None

    def get_urls(self) -> list[URLPattern]:
        own = {name: getattr(campaign_pages, name) for name in ("page", "mail", "act", "test")}
        return [
            path(f"<int:id>/{name}/", self.admin_site.admin_view(view), name=f"marketing_campaign_{name}")
            for name, view in own.items()
        ] + super().get_urls()

    def get_form(self, *args: Any, **kwargs: Any) -> Any:
        words = {"body": "Markdown, which may hold HTML. Pictures and scripts are left out."}
        return super().get_form(
            *args, **kwargs, labels={"bought": "Only to buyers of"}, help_texts=words | {"bought": ""}
        )

    def has_change_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """Only a draft can be changed."""
        return super().has_change_permission(request, obj) and (obj is None or obj.state == DRAFT)

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.state == DRAFT)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        campaign = self.get_object(request, object_id)
        if campaign and campaign.state != DRAFT and request.method == "GET":
            return redirect("admin:marketing_campaign_page", campaign.pk)
        return super().change_view(request, object_id, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Campaign, form: forms.ModelForm, change: bool) -> None:
        """Race: another person sends the draft at this moment. Then it stays as it is."""
        if not change:
            obj.created_by_id = request.user.pk
            obj.save()
            return
        fields = {name: form.cleaned_data[name] for name in form.changed_data}
        if fields and not Campaign.objects.filter(pk=obj.pk, state=DRAFT).update(**fields):
            raise PermissionDenied

    def response_add(self, request: HttpRequest, obj: Campaign, *args: Any) -> HttpResponse:
        return redirect("admin:marketing_campaign_page", obj.pk)

    def response_change(self, request: HttpRequest, obj: Campaign) -> HttpResponse:
        return redirect("admin:marketing_campaign_page", obj.pk)


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["email", "newsletter", "digest", "reminders", "confirmed_at"]
    list_filter = ["newsletter", "digest", "reminders"]
    search_fields = ["email"]
    show_full_result_count = False
