"""The URLs of the shop."""

from django.contrib import admin
from django.urls import include, path

from orders.storefront.api import api
from shop import health
from shop.metrics import metrics
from shop.staff.views import sign_in

admin.site.site_header = admin.site.site_title = "Backroom"
admin.site.enable_nav_sidebar = False  # the lists need the width
handler500 = "shop.unavailable.server_error"

urlpatterns = [
    path("", include("catalog.urls")),
    path("", include("orders.urls")),
    path("", include("marketing.urls")),
    path("", include("notifications.urls")),
    path("accounts/", include("accounts.urls")),
    path("api/", api.urls),
    path("ops/", include("backroom.ops.urls")),
    path("admin/login/", sign_in),
    path("admin/", admin.site.urls),
    path("staff/", include("shop.staff.urls")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics),
]
