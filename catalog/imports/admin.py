"""Imports in Django's admin: a list, and the pages of pages.py."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path

from backroom.ops.admin import ReadOnly
from catalog.imports import pages
from catalog.imports.models import Import


@admin.register(Import)
class ImportAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["name", "state", "user", "created_at", "ended_at"]
    list_filter = ["state"]
    list_select_related = ["user"]
    actions = None

    def get_urls(self) -> list[URLPattern]:
        own = {"page/": pages.page, "columns/": pages.columns, "act/": pages.act, "errors.csv": pages.errors}
        return [
            path(f"<int:id>/{end}", self.admin_site.admin_view(view), name=f"catalog_import_{view.__name__}")
            for end, view in own.items()
        ] + super().get_urls()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(pages.ADD)

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return pages.upload(request)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("admin:catalog_import_page", object_id)
