"""URLs of subscriptions."""

from django.urls import path

from marketing import views

app_name = "marketing"

urlpatterns = [
    path("newsletter/", views.newsletter, name="newsletter"),
    path("newsletter/confirm/", views.confirm, name="confirm"),
    path("newsletter/unsubscribe/<slug:topic>/", views.unsubscribe, name="unsubscribe"),
    path("accounts/subscriptions/", views.account, name="subscriptions"),
]
