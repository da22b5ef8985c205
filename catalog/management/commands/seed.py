"""`manage.py seed [--restock]`"""

from django.core.management.base import BaseCommand

from catalog.seed import restock as refill
from catalog.seed import seed


class Command(BaseCommand):
    help = "Add the products of catalog/products.toml to an empty catalog. One with products stays unchanged."

    def add_arguments(self, parser):
        parser.add_argument("--restock", action="store_true", help="raise lower stock to its initial amount")

    def handle(self, *args, restock: bool, **options):
        self.stdout.write(f"{seed()} products in the catalog.")
        if restock:
            self.stdout.write(f"{refill()} products restocked.")
