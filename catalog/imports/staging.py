"""The dry run: each row of the file is parsed and staged, in steps of which none is done twice; nothing is written yet
to a product."""

import math
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import IO

from django.db import connection
from django.db.models import Count, Q

from backroom import resumable
from catalog.imports import fields, product_values, reading
from catalog.imports.models import Import, ImportRow
from catalog.imports.states import State, change, locked, refuse, stored
from catalog.models import Category, Product

STEP = 1000  # rows of one transaction, at most
LARGEST = 4 << 20  # characters of one transaction, and a row more: rows may be long
Step = list[tuple[int, list[str]]]  # numbers of rows, and their cells
TWICE = """
UPDATE catalog_importrow staged
SET errors = jsonb_build_array(jsonb_build_array(%s::text, 'Row ' || first || ' has this slug already.'))
FROM (SELECT id, first_value(line) OVER (PARTITION BY "values" ->> 'slug' ORDER BY line) AS first
      FROM catalog_importrow WHERE of_id = %s AND errors = '[]') twin
WHERE staged.id = twin.id AND line > first
"""


def stage(id: int) -> None:
    """Stage all rows. A resumed job reads the file from its beginning, and stages what the last one had not."""
    found = Import.objects.filter(pk=id, state=State.READING).first()
    if found is None:
        return
    categories = _categories()
    with stored(found.file) as file:
        steps = resumable(
            partial(_steps, found, file), cursor=_last, total=math.ceil(found.options["rows"] / STEP)
        )  # fmt: skip
        try:
            for step in steps:
                staged = _staged(found, step, categories)
                with steps.atomic():
                    if not locked(id, State.READING):  # cancelled
                        return
                    ImportRow.objects.bulk_create(staged)
        except reading.Unreadable as error:  # with another separator than the one of the first look
            refuse(id, str(error))


def _steps(found: Import, file: IO[bytes], after: int | None) -> Iterator[Step]:
    """The rows behind this number, or behind the heading."""
    rows = enumerate(reading.rows(file, found.options["encoding"], found.options["separator"]), 1)
    rest = islice(rows, after or found.options["heading_row"], None)
    step: Step = []
    size = 0
    for number, cells in rest:
        step.append((number, cells))
        size += sum(map(len, cells))
        if len(step) == STEP or size > LARGEST:
            yield step
            step, size = [], 0
    if step:
        yield step


def _last(step: Step) -> int:
    return step[-1][0]


def _categories() -> dict[str, str]:
    """Slugs, by slug and by name in lower case."""
    known = list(Category.objects.values_list("slug", "name"))
    return {name.casefold(): slug for slug, name in known} | {slug: slug for slug, _ in known}


def _staged(found: Import, step: Step, categories: dict[str, str]) -> list[ImportRow]:
    style = fields.Style(found.options["decimal"], found.options["dates"])
    parsed = [
        (line, cells, *fields.parse(cells, found.columns, style, categories)) for line, cells in step if any(cells)
    ]
    slugs = {values["slug"] for _, _, values, _ in parsed if "slug" in values}
    products = Product.objects.select_related("category").in_bulk(slugs, field_name="slug")
    rows = []
    for line, cells, values, wrong in parsed:
        product = products.get(values.get("slug", ""))
        wrong = product_values.misfits(values, product) | wrong
        errors = [[column(found, name), text] for name, texts in wrong.items() for text in texts]
        if any(cell.strip() for cell in cells[len(found.options["heading"]) :]):
            errors.append(["", "The row has more columns than the heading."])
        values = {} if errors else values
        rows.append(ImportRow(of_id=found.pk, line=line, values=values, errors=errors, product=product))
    return rows


def column(found: Import, name: str) -> str:
    """A field's column, as the file's heading calls it."""
    number = found.columns.get(name)
    if number is None:
        return fields.FIELDS[name].label
    return found.options["heading"][number] or f"column {number + 1}"


def check(id: int) -> None:
    """Find the slugs that come twice, and count. For an atomic task."""
    found = locked(id, State.READING)
    if found is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(TWICE, [column(found, "slug"), id])
    right = Q(errors=[])
    counts = found.rows.aggregate(
        wrong=Count("pk", filter=~right),
        new=Count("pk", filter=right & Q(product=None)),
        known=Count("pk", filter=right & ~Q(product=None)),
    )
    change(id, State.CHECKED, State.READING, options=found.options | {"checked": counts})
