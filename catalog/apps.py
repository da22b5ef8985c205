"""Django's entry for this room."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    name = "catalog"
