"""URLs of subscriptions, stock alerts and reviews."""

from django.urls import path

from marketing import product_views, views

app_name = "marketing"

urlpatterns = [
    path("newsletter/", views.newsletter, name="newsletter"),
    path("newsletter/confirm/", views.confirm, name="confirm"),
    path("newsletter/unsubscribe/<slug:topic>/", views.unsubscribe, name="unsubscribe"),
    path("accounts/subscriptions/", views.account, name="subscriptions"),
    path("products/<slug:slug>/alert/", product_views.stock_alert, name="stock-alert"),
    path("orders/<int:number>/review/", product_views.review, name="review"),
]
