"""Measures what an import costs customers: a checkout's latency without one, during a dry run and while rows are
applied, and the import's own speed: `python -m bench.imports [rows]`. Prints a line for each phase.

The phases take turns in rounds. A dry run is cancelled at its round's end; the chunks are paused between rounds.
"""

import io
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import urllib3

from bench import people, results, shop
from lab.faults.customers import cheap

ROUNDS, SECONDS = (1, 5.0) if results.quick() else (7, 12.0)
HEADING = "slug,name,category,description,price,stock,active"
PATIENCE = 900.0  # seconds
PAUSED = "task:catalog.apply_import"


def main(rows: int) -> None:
    with shop.running() as (stack, _):
        from catalog.models import Product  # noqa: PLC0415 - needs Django to be set up

        Product.objects.update(stock=10_000_000)
        products = cheap(urllib3.request("GET", f"{stack.site}/api/products").json()["items"])
        people.order(stack.site, products, 2.0)  # the first requests of a process import what they need
        text = table(rows)
        phases: dict[str, Callable[[Callable[[], Any]], float | None]] = {
            "no import": without,
            "dry run": lambda load: staging(text, load),
            "apply": applying(text),
        }
        found: dict[str, list[list[float]]] = {phase: [] for phase in phases}
        speeds: dict[str, list[float]] = {phase: [] for phase in phases}
        for _ in range(ROUNDS):
            for phase, during in phases.items():
                speed = during(lambda phase=phase: found[phase].append(people.order(stack.site, products, SECONDS)))  # type: ignore[misc]
                speeds[phase] += [speed] if speed else []
    lines = list(summary(found, speeds))
    for line in lines:
        print("  ".join(f"{name} {value:.4g}" if isinstance(value, float) else value for name, value in line.items()))
    results.save("imports", lines, table_rows=rows, rounds=ROUNDS, customers=people.CUSTOMERS)


def summary(found: dict[str, list[list[float]]], speeds: dict[str, list[float]]) -> list[results.Row]:
    """The latencies of each phase, and their ratios to those of the first: the median of the rounds', and of the 99th
    percentile that of all."""
    medians = {phase: [statistics.median(each) for each in rounds] for phase, rounds in found.items()}
    none, lines = medians["no import"], list[results.Row]()
    for phase, rounds in found.items():
        line: results.Row = {"phase": phase, **people.latency(rounds)}
        if speeds[phase]:
            line["p50_ratio"] = statistics.median(
                now / before for before, now in zip(none, medians[phase], strict=True)
            )
            line["p99_ratio"] = line["checkout_p99_ms"] / lines[0]["checkout_p99_ms"]
            line["rows_per_s"] = statistics.median(speeds[phase])
        lines.append(line)
    return lines


def table(rows: int) -> bytes:
    lines = (
        f"bench-{number},Radishes {number},vegetables,Fresh from field {number}.,{number % 500}.99,{number},yes"
        for number in range(rows)
    )
    return "\n".join([HEADING, *lines, ""]).encode()


def without(load: Callable[[], Any]) -> None:
    load()


def begun(text: bytes) -> int:
    """Upload a table and begin its dry run; returns the import's id."""
    from django.core.files.uploadedfile import InMemoryUploadedFile  # noqa: PLC0415 - need Django to be set up

    from catalog.imports import fields, requests  # noqa: PLC0415
    from catalog.imports.models import Import  # noqa: PLC0415

    file = InMemoryUploadedFile(io.BytesIO(text), "file", "bench.csv", "text/csv", len(text), None)
    id = requests.upload(file, None).pk
    wait(lambda: "heading" in Import.objects.get(pk=id).options)
    options = Import.objects.get(pk=id).options
    requests.read(id, fields.guess(options["heading"]), options | {"dates": "dmy"})
    return id


def staging(text: bytes, load: Callable[[], Any]) -> float:
    """Rows staged per second meanwhile."""
    from catalog.imports import requests  # noqa: PLC0415 - need Django to be set up
    from catalog.imports.models import ImportRow  # noqa: PLC0415

    id = begun(text)
    rows = ImportRow.objects.filter(of=id)
    wait(rows.exists)
    speed = during(rows.count, load)
    if not requests.cancel(id):
        raise ValueError("the dry run ended before the measurement: the table is too small")
    rows.delete()
    return speed


def applying(text: bytes) -> Callable[[Callable[[], Any]], float]:
    """A dry run to its end; then for each round the rows applied per second."""
    from backroom.ledger.models import Job, Pause  # noqa: PLC0415 - need Django to be set up
    from catalog.imports import requests  # noqa: PLC0415
    from catalog.imports.models import Import, ImportRow  # noqa: PLC0415

    id = begun(text)
    wait(lambda: Import.objects.get(pk=id).state == Import.State.CHECKED)
    Pause.objects.create(what=PAUSED, who="bench")
    requests.apply(id)
    done = ImportRow.objects.filter(of=id, done=True)

    def measure(load: Callable[[], Any]) -> float:
        Pause.objects.filter(what=PAUSED).delete()
        before = done.count()
        wait(lambda: done.count() > before)
        speed = during(done.count, load)
        if Import.objects.get(pk=id).state != Import.State.APPLYING:
            raise ValueError("the import ended before the measurement: the table is too small")
        Pause.objects.create(what=PAUSED, who="bench")
        wait(lambda: not Job.objects.filter(task="catalog.apply_import", state="running").exists())
        return speed

    return measure


def during(count: Callable[[], int], load: Callable[[], Any]) -> float:
    """How many more the count has for each second of the load."""
    before, begin = count(), time.monotonic()
    load()
    return (count() - before) / (time.monotonic() - begin)


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE:g} s")
        time.sleep(0.1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000 if results.quick() else 200_000)
