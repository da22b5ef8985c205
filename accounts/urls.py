"""The URLs of accounts: our own pages in the namespace `accounts`, and those of allauth under allauth's names."""

from django.urls import include, path

from accounts import views

pages = [
    path("", views.overview, name="overview"),
]

urlpatterns = [
    path("", include((pages, "accounts"))),
    path("", include("allauth.account.urls")),
]
