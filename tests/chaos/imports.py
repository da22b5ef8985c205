"""An import of products, whose worker dies in the dry run, in a chunk, or between a chunk and its finish."""

from signal import SIGKILL
from uuid import uuid4

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Sum

from backroom.ledger.models import Job
from catalog.imports import fields, requests
from catalog.imports.models import Import
from catalog.models import Product
from tests.chaos.context import TIMEOUT, Context
from tests.chaos.faults import Fault, strike
from tests.waiting import until

ROWS = 3000
HEADING = "slug,name,category,price,stock,active"


def importing(boundary: str, match: str, target: str) -> Fault:
    """Each row is applied once, and no job fails."""

    def fault(context: Context) -> None:
        prefix = f"chaos-{uuid4().hex[:8]}"
        lines = (f"{prefix}-{number},Chaos,vegetables,1.50,{number},no" for number in range(ROWS))
        armed = context.arm(boundary, "worker-bulk", match)
        made = requests.upload(SimpleUploadedFile("chaos.csv", "\n".join([HEADING, *lines, ""]).encode()), None)
        found = Import.objects.filter(pk=made.pk)
        until(lambda: "heading" in found.get().options, TIMEOUT, "the look into the file")
        options = found.get().options
        requests.read(made.pk, fields.guess(options["heading"]), options | {"dates": "dmy"})
        if match.startswith("import-stage"):
            strike(context, armed.wait(TIMEOUT), SIGKILL, target)
        until(lambda: found.get().state == "checked", TIMEOUT, "the dry run")
        requests.apply(made.pk)
        if match.startswith("import-chunk"):
            strike(context, armed.wait(TIMEOUT), SIGKILL, target)
        until(lambda: found.get().state == "applied", TIMEOUT, "the import's end")
        products = Product.objects.filter(slug__startswith=prefix)
        assert found.get().options["applied"] == {"new": ROWS, "changed": 0, "same": 0, "wrong": 0}
        assert products.aggregate(Sum("stock"))["stock__sum"] == sum(range(ROWS))
        assert not Job.objects.filter(key__startswith="import-", state="dead").exists()
        products.delete()

    return fault
