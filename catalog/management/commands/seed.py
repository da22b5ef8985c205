"""`manage.py seed [--restock]`"""

from django.core.management.base import BaseCommand

from catalog.seed import restock as refill
from catalog.seed import seed


class Command(BaseCommand):
    help = "Fill the shelves with the products of catalog/products.toml; what is there already stays."

    def add_arguments(self, parser):
        parser.add_argument(
            "--restock", action="store_true", help="put stock back to its first amount where it is below"
        )

    def handle(self, *args, restock: bool, **options):
        self.stdout.write(f"{seed()} products on the shelves.")
        if restock:
            self.stdout.write(f"{refill()} restocked.")
