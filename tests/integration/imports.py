"""Uploading a table as staff do, and running an import's jobs."""

from django.core.files.uploadedfile import SimpleUploadedFile

from backroom.testing import run_jobs
from catalog.imports import fields, requests
from catalog.imports.models import Import
from catalog.models import Category

ALL = ("add_import", "view_import", "add_product", "change_product", "delete_product")


def fruit() -> Category:
    return Category.objects.get_or_create(slug="fruit", defaults={"name": "Fruit"})[0]


def table(*rows: str, heading: str = "slug,name,category,price,stock") -> bytes:
    return "\n".join([heading, *rows, ""]).encode()


def uploaded(content: bytes) -> Import:
    """An import whose file was looked into."""
    made = requests.upload(SimpleUploadedFile("products.csv", content), None)
    run_jobs()
    made.refresh_from_db()
    return made


def checked(content: bytes) -> Import:
    """An import after its dry run, with the columns that the headings name."""
    made = uploaded(content)
    assert requests.read(made.pk, fields.guess(made.options["heading"]), made.options | {"dates": "dmy"}), made.reason
    run_jobs()
    made.refresh_from_db()
    return made


def applied(content: bytes) -> Import:
    """An import whose rows are written."""
    made = checked(content)
    assert requests.apply(made.pk)
    run_jobs()
    made.refresh_from_db()
    return made


def undone(made: Import) -> Import:
    assert requests.undo(made.pk)
    run_jobs()
    made.refresh_from_db()
    return made
