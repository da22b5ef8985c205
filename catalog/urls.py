"""URLs of the product pages."""

from django.urls import path

from catalog import views

app_name = "catalog"

urlpatterns = [
    path("", views.home, name="home"),
    path("products/", views.products, name="products"),
    path("products/suggest/", views.suggest, name="suggest"),  # a product with this slug has no page
    path("products/<slug:slug>/", views.product, name="product"),
]
