"""An import of the largest size with real workers, which are killed again and again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from backroom.ledger.models import Job
from catalog.imports import fields, requests
from catalog.imports.models import Import
from catalog.models import Category, Product
from lab.faults.stack import descendants
from tests.acceptance.conftest import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.django_db, pytest.mark.slow, pytest.mark.timeout(3600)]
ROWS = 199_998  # and two that are wrong: as many as a table may have
KNOWN = ROWS // 10  # products that are there before
MOST = 200  # MB
HEADING = "slug;name;category;description;price;stock;active"
WRONG = """
SELECT count(*) FROM generate_series(1, %s) number LEFT JOIN catalog_product ON slug = 'import-' || number
WHERE price IS DISTINCT FROM (number %% 500 + 0.99) OR stock IS DISTINCT FROM number
   OR name IS DISTINCT FROM 'Rzodkiewka ' || number OR taken <> 0
"""


def table() -> bytes:
    """Two rows in it are wrong: they are left out."""
    rows = (
        f"import-{number};Rzodkiewka {number};vegetables;Świeża, z pola numer {number}.;{number % 500},99;{number};yes"
        for number in range(1, ROWS + 1)
    )
    return "\n".join([HEADING, *rows, f"import-{ROWS};twice;vegetables;;1,00;1;yes", "import-x;;;;;;", ""]).encode(
        "cp1250"
    )


@contextmanager
def measured(house: Cluster) -> Iterator[dict[str, float]]:
    """The most memory of a process of each kind so far, in MB."""
    peaks: dict[str, float] = {}
    stop = Event()

    def sample() -> None:
        while not stop.wait(0.25):
            for name, process in list(house.processes.items()):
                for pid in descendants(process.pid) if process.poll() is None else ():
                    peaks[name] = max(peaks.get(name, 0), peak(pid))

    thread = Thread(target=sample)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()


def peak(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def test_each_row_is_applied_once_though_all_workers_are_killed_five_times(house: Cluster):
    vegetables = Category.objects.get_or_create(slug="vegetables", defaults={"name": "Vegetables"})[0]
    Product.objects.bulk_create(
        (Product(slug=f"import-{number}", name="old", category=vegetables, price=1) for number in range(1, KNOWN + 1)),
        batch_size=1000,
    )
    made = requests.upload(SimpleUploadedFile("products.csv", table()), None)
    began = time.monotonic()
    try:
        with measured(house) as peaks:
            until(lambda: "heading" in Import.objects.get(pk=made.pk).options, 300)
            made.refresh_from_db()
            requests.read(made.pk, fields.guess(made.options["heading"]), made.options | {"dates": "dmy"})
            for kill in (1, 2):
                until(lambda kill=kill: made.rows.filter(line__gt=kill * ROWS // 3).exists(), 900)
                again(house)
            until(lambda: Import.objects.get(pk=made.pk).state == "checked", 900)
            staged = time.monotonic()
            made.refresh_from_db()
            assert made.options["checked"] == {"new": ROWS - KNOWN, "known": KNOWN, "wrong": 2}
            requests.apply(made.pk)
            chunks = Job.objects.filter(task="catalog.apply_import", state="succeeded")
            for kill in (1, 2, 3):
                until(lambda kill=kill: chunks.count() > kill * ROWS // 500 // 4, 1800)
                again(house)
            until(lambda: Import.objects.get(pk=made.pk).state == "applied", 1800)
            print(f"\nstaged in {staged - began:.0f} s, applied in {time.monotonic() - staged:.0f} s; MB: {peaks}")
        made.refresh_from_db()
        counts = made.options["applied"]
        assert counts == {"new": ROWS - KNOWN, "changed": KNOWN, "same": 0, "wrong": 2}
        with connection.cursor() as cursor:
            cursor.execute(WRONG, [ROWS])
            assert cursor.fetchone() == (0,)
        assert Product.objects.filter(slug__startswith="import-").count() == ROWS
        assert not Job.objects.filter(task__startswith="catalog.", state="dead").exists()
        assert max(peaks.values()) < MOST, peaks
    finally:
        Job.objects.filter(task__startswith="catalog.").delete()  # later tests count jobs
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE catalog_importrow, catalog_import")
            cursor.execute("DELETE FROM catalog_product WHERE slug LIKE 'import-%'")


def again(house: Cluster) -> None:
    for name in ("worker-bulk", "worker-default"):
        house.kill(name)
    house.start("worker-bulk", "worker-default")
