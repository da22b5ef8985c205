"""Writes the tables and the plot of docs/scale.md, after bench.order and bench.uploads: `python -m bench.scale`."""

import statistics
from typing import Any

from bench import capacity, outcome, plots, results
from bench.autoscaler import MEDIA, QUICK, Autoscaler
from bench.document import cell, table
from bench.simulation import Burst, poisson
from stack.environment import CHECKOUT

DOCUMENT = "docs/scale.md"
PLOT = CHECKOUT / "docs" / "images" / "scale-burst.svg"
UPLOADS, SECONDS = 20_000, 600.0
HOUR = 3600  # looks
SHARES = (0.5, 1.0, 2.0)  # of the workers that could just keep up
RULES = (MEDIA, QUICK)
OF_AN_ORDER = {
    "jobs": "jobs", **{f"{part} ms": f"CPU ms of {part}" for part in capacity.PARTS}, "wal_kb": "kB of WAL",
    "table_bytes_a_job": "bytes of table for each job", "index_bytes_a_job": "bytes of indexes for each job",
}  # fmt: skip


def main() -> None:
    order, uploads = measured("order"), measured("uploads")
    bursts = simulated(uploads["parameters"]["seconds"])
    for name, text in (
        ("limits", limits(order["rows"][0])),
        ("order", of_order(order)),
        ("sums", table([capacity.needs(each, order["rows"][0]) for each in capacity.ORDERS], capacity.HEADS)),
        ("burst", of_bursts(bursts, uploads["parameters"]["seconds"])),
        ("error", error(uploads)),
    ):
        outcome.write(DOCUMENT, name, text)
        print(text, end="\n\n")
    draw(bursts)


def measured(name: str) -> dict[str, Any]:
    if (found := results.load(name)) is None:
        raise SystemExit(f"{name} was not measured: python -m bench.{name}")
    return found


def limits(order: results.Row) -> str:
    heads = {"what": "Full", "orders": "at orders a day", "next": "What to get"}
    return table([{**row, "orders": f"{row['orders']:,.0f}"} for row in capacity.reached(order)], heads)


def of_order(order: dict[str, Any]) -> str:
    on, (row,) = order["machine"], order["rows"]
    cells = [f"{cell(row[key])} {head}" for key, head in OF_AN_ORDER.items()]
    return f"{'; '.join(cells)}. {on['processor']}, {on['cores']} cores, {order['measured_at'][:10]}."


def simulated(seconds: list[float]) -> dict[str, Burst]:
    """The burst for each number of workers, and with the autoscaler."""
    enough, arrivals = UPLOADS / SECONDS * statistics.mean(seconds), poisson(UPLOADS, SECONDS)
    fixed = {f"{round(share * enough)} workers": round(share * enough) for share in SHARES}
    found = {name: Burst(arrivals, seconds, count) for name, count in fixed.items()}
    for rule in RULES:
        name = f"KEDA, {rule.threshold:g} s, {rule.least} to {rule.most}"
        found[name] = Burst(arrivals, seconds, rule.least, Autoscaler(rule))
    return {name: each.run() for name, each in found.items()}


def of_bursts(bursts: dict[str, Burst], seconds: list[float]) -> str:
    rows = [
        {
            "workers": name, "most waiting": round(burst.most("waiting")), "oldest, s": burst.most("oldest_s"),
            "all done after, min": done_s(burst) / 60, "most workers": round(burst.most("workers")),
            "worker hours": burst.worker_seconds / 3600,
        }
        for name, burst in bursts.items()
    ]  # fmt: skip
    mean = statistics.mean(seconds)
    text = f"{UPLOADS:,} uploads in {SECONDS / 60:.0f} minutes, each {mean:.2f} s of a core, as measured here:"
    return f"{text}\n\n{table(rows, {key: key for key in rows[0]})}"


def done_s(burst: Burst) -> float:
    return next(look["at"] for look in burst.timeline if look["done"] == burst.timeline[-1]["done"])


def error(uploads: dict[str, Any]) -> str:
    """The simulation beside the real burst of bench.uploads."""
    real, given = uploads["rows"][0], uploads["parameters"]
    burst = Burst(given["arrivals"], given["seconds"], given["children"]).run()
    said = {"waiting": burst.most("waiting"), "oldest_s": burst.most("oldest_s"), "done_s": burst.timeline[-1]["at"]}
    names = {"waiting": "most waiting", "oldest_s": "oldest, s", "done_s": "all done after, s"}
    rows = [
        {"what": names[key], "said": said[key], "real": float(real[key]), "error": f"{said[key] / real[key] - 1:+.0%}"}
        for key in names
    ]
    return table(rows, {"what": f"{real['uploads']} uploads", "said": "simulated", "real": "real", "error": "error"})


def draw(bursts: dict[str, Burst]) -> None:
    """The first HOUR, without the largest fixed number of workers: no upload waits for them."""
    largest = list(bursts)[len(SHARES) - 1]
    drawn = {label: burst for label, burst in bursts.items() if label != largest}

    def panel(title: str, unit: str, name: str) -> plots.Panel:
        lines = [
            (label, [look["at"] / 60 for look in burst.timeline[:HOUR]], [look[name] for look in burst.timeline[:HOUR]])
            for label, burst in drawn.items()
        ]
        return title, "minutes", unit, lines

    panels = panel("Uploads that wait", "", "waiting"), panel("Age of the oldest", "s", "oldest_s")
    plots.lines(PLOT, *panels, panel("Workers", "", "workers"))


if __name__ == "__main__":
    main()
