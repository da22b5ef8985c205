"""URLs of the product pages and of their pictures."""

from django.urls import path, register_converter

from catalog import views
from catalog.media.views import NameConverter, media

register_converter(NameConverter, "media_name")
app_name = "catalog"

urlpatterns = [
    path("", views.home, name="home"),
    path("products/", views.products, name="products"),
    path("products/suggest/", views.suggest, name="suggest"),  # a product with this slug has no page
    path("products/<slug:slug>/", views.product, name="product"),
    path("media/<media_name:name>", media, name="media"),
]
