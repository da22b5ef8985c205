"""An import of products and its undo, interrupted: in the look into a workbook, the dry run, a chunk, or an end."""

import io
from collections.abc import Callable
from signal import SIGKILL
from uuid import uuid4

import xlsxwriter
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import QuerySet, Sum

from backroom.ledger.models import Job
from catalog.imports import fields, requests
from catalog.imports.models import Import, ImportRow
from catalog.models import Category, Product
from tests.chaos.context import TIMEOUT, Context
from tests.chaos.faults import Fault, strike
from tests.waiting import until

ROWS, KNOWN = 1500, 500  # the first 500 change a product, the others add one
BEFORE = 7  # pieces of a known product
HEADING = ["slug", "name", "category", "price", "stock", "active"]


def importing(boundary: str, match: str, target: str) -> Fault:
    """Each row is applied once, each undone once, and no job fails. `match`: the prefix of a job's key, or none for the
    look into the file."""

    def fault(context: Context) -> None:
        prefix = f"chaos-{uuid4().hex[:8]}"
        products = known(prefix)
        armed = context.arm(boundary, "worker-bulk", match)

        def hit(*kinds: str) -> None:
            if match in kinds:
                strike(context, armed.wait(TIMEOUT), SIGKILL, target)

        book = SimpleUploadedFile("chaos.xlsx", workbook(prefix))
        found = Import.objects.filter(pk=requests.upload(book, None).pk)
        hit("")
        check_import(found, hit)
        requests.apply(found.get().pk)
        hit("import-chunk", "import-end")
        check_applied(found, products)
        requests.undo(found.get().pk)
        hit("import-undo:", "import-undone")
        check_undone(found, products)
        assert not Job.objects.filter(key__startswith="import-", state="dead").exists()
        products.delete()

    return fault


def known(prefix: str) -> QuerySet[Product]:
    """The row's products, of which the first ones exist."""
    about = {"name": "Chaos", "category": Category.objects.get(slug="vegetables"), "price": 2, "stock": BEFORE}
    Product.objects.bulk_create(Product(slug=f"{prefix}-{number}", active=False, **about) for number in range(KNOWN))
    return Product.objects.filter(slug__startswith=prefix)


def workbook(prefix: str) -> bytes:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, HEADING)
        for number in range(ROWS):
            sheet.write_row(number + 1, 0, [f"{prefix}-{number}", "Chaos", "vegetables", 1.5, number, "no"])
    return content.getvalue()


def check_import(found: QuerySet[Import], hit: Callable[..., None]) -> None:
    """The look into the file, and the dry run."""
    options = until(lambda: "heading" in found.get().options and found.get().options, TIMEOUT, "the look into the file")
    requests.read(found.get().pk, fields.guess(options["heading"]), options | {"dates": "dmy"})
    hit("import-stage")
    until(lambda: found.get().state == "checked", TIMEOUT, "the dry run")
    assert ImportRow.objects.filter(of=found.get()).count() == ROWS


def check_applied(found: QuerySet[Import], products: QuerySet[Product]) -> None:
    until(lambda: found.get().state == "applied", TIMEOUT, "the import's end")
    assert found.get().options["applied"] == {"new": ROWS - KNOWN, "changed": KNOWN, "same": 0, "wrong": 0}
    assert products.aggregate(Sum("stock"))["stock__sum"] == sum(range(ROWS))


def check_undone(found: QuerySet[Import], products: QuerySet[Product]) -> None:
    until(lambda: found.get().state == "undone", TIMEOUT, "the undo's end")
    assert found.get().options["undone"] == {"left": 0}
    assert set(products.values_list("price", "stock")) == {(2, BEFORE)}
    assert products.count() == KNOWN
