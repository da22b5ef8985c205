"""Second factors for superusers, in place of django-otp's own pages: they can be removed, and neither read nor made."""

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest
from django_otp.plugins.otp_static.admin import StaticDevice
from django_otp.plugins.otp_totp.admin import TOTPDevice

from backroom.ops.admin import ReadOnly

admin.site.unregister([StaticDevice, TOTPDevice])


@admin.register(TOTPDevice)
class SecondFactorAdmin(ReadOnly, ModelAdmin):
    list_display = fields = ("user", "created_at", "last_used_at")

    def has_delete_permission(self, request: HttpRequest, obj: TOTPDevice | None = None) -> bool:
        return ModelAdmin.has_delete_permission(self, request, obj)
