"""docs/benchmarks.md says of each target what was measured, and whether it is met."""

from bench.contenders import STOCK
from bench.document import document
from bench.targets import Measured

MACHINE = {
    "processor": "One",
    "cores": 2,
    "memory_gb": 8.0,
    "load": 0.5,
    "kernel": "Linux 6",
    "versions": {"Python": "3"},
}


def written(**rows: list[dict]) -> str:
    saved = {
        name: {"measured_at": "2026-01-01T00:00", "machine": MACHINE, "parameters": {}, "rows": each}
        for name, each in rows.items()
    }
    return document(Measured(rows), saved)


def verdict(text: str, what: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {what}")).split("|")[-2].strip()


def test_a_target_is_met_or_not_by_the_measured_figure():
    row = {"contender": STOCK, "ours_drain_per_s": 1.6, "ours_p50_ms_at_50": 1.3}
    text = written(jobs=[row], idle=[{"process": "all", "core_percent": 2.9}])
    assert verdict(text, "drain, prefork") == "met"
    assert verdict(text, "end to end at 50 jobs/s, median").startswith("**not met**: two commits")
    assert verdict(text, "all processes of the shop at rest") == "met"


def test_the_document_names_what_was_not_measured():
    text = written(idle=[{"process": "all", "core_percent": 2.9}])
    assert "Not measured in this run: jobs, when it is hurt" in text
    assert verdict(text, "drain, prefork") == "not measured"
    assert "## Jobs" not in text
