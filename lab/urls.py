"""The shop's addresses and the lab's. Only the lab's settings use them."""

from django.urls import include, path

from lab import views
from shop.urls import handler500 as handler500
from shop.urls import urlpatterns as shop_addresses

app_name = "lab"
addresses = [
    path("", views.page, name="page"),
    path("live/", views.live, name="live"),
    path("begin/<slug:name>/", views.begin, name="begin"),
    path("stop/", views.stop, name="stop"),
    path("customers/", views.customers, name="customers"),
    path("code/<path:file>", views.code, name="code"),
]
urlpatterns = [*shop_addresses, path("lab/", include((addresses, app_name)))]
