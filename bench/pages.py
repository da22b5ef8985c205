"""Measures each page of `/ops/` with a full ledger; prints ms, statements, kB: `python -m bench.pages [jobs]`.

A line has: the median time of a whole request, middleware and templates included; mean CPU times of the web process
and of its PostgreSQL session; statements; size of the answer. Other load on the machine changes the CPU times least.
Requests run one at a time. Linux only.
"""

import logging
import statistics
import sys
import time
from pathlib import Path

from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bench import cluster, results, sample

ROUNDS = 15
TASK = "orders.request_shipment"
GROUP = f"task={TASK}&cause=Permanent:+shipment+of+order+%23+was+refused"
POLL = ", poll"  # pages that htmx requests again every few seconds
LINE = "{page:30} {ms:10.1f} {web_cpu_ms:10.1f} {database_cpu_ms:8.1f} {statements:10} {kb:6.1f}"
PAGES = {
    "health": "/ops/",
    f"health{POLL}": "/ops/",
    **{f"charts, {span}": f"/ops/history/?span={span}" for span in ("hour", "day", "week")},
    **{f"tasks, {span}": f"/ops/tasks/?span={span}" for span in ("hour", "day", "week")},
    "jobs": "/ops/jobs/",
    **{
        f"jobs, {state}": f"/ops/jobs/?state={state}"
        for state in ("retrying", "scheduled", "parked", "behind", "dead", "cancelled")
    },
    "jobs of a task": f"/ops/jobs/?task={TASK}",
    "jobs of an unknown task": "/ops/jobs/?task=nothing",
    "jobs of a task, dead": f"/ops/jobs/?task={TASK}&state=dead",
    "jobs by an error that none has": "/ops/jobs/?state=dead&error=nothing",
    "preview of trying all": "/ops/act/?verb=try&all=1&found=state%3Dretrying",
    "jobs of an order": "/ops/jobs/?q=14711",
    "jobs by the beginning of a key": "/ops/jobs/?q=receipt:147*",
    "a dead job": "/ops/jobs/{dead}/",
    f"a running job{POLL}": "/ops/jobs/{running}/",
    "edit arguments": "/ops/jobs/{dead}/edit/",
    "dead letters": "/ops/dead/",
    "a cause": f"/ops/dead/?{GROUP}",
    "preview of a replay": f"/ops/act/?verb=replay&{GROUP}&per_minute=60",
    "pause a queue": "/ops/pause/?what=queue:bulk",
    "alerts": "/ops/alerts/",
    "actions": "/ops/actions/",
}


def main(jobs: int) -> None:
    with cluster.running(STAFF_TOTP="false"):
        logging.disable(logging.INFO)
        call_command("collectstatic", verbosity=0, interactive=False)
        sample.fill(jobs)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE) backroom_job")  # as autovacuum does after this many rows
            # It may have cancelled an autovacuum, which leaves a range half summarized: all later ones are read then.
            cursor.execute("REINDEX INDEX backroom_finished")
        client, ids = operator(), job_ids()
        print(f"{f'{jobs} jobs':30} {'ms':>10} {'web CPU':>10} {'database':>8} {'statements':>10} {'kB':>6}")
        rows = []
        for name, address in PAGES.items():
            headers = {"HX-Request": "true"} if name.endswith(POLL) else {}
            rows.append({"page": name, **measure(client, address.format(**ids), headers)})
            print(LINE.format(**rows[-1]), flush=True)
    results.save("pages", rows, jobs=jobs)


def operator() -> Client:
    """A browser with the session of a superuser."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - needs Django to be set up

    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(User.objects.create_superuser("bench"))
    return client


def job_ids() -> dict[str, str]:
    """One job's id for each state."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT state, min(id::text) FROM backroom_job GROUP BY state")
        return dict(cursor.fetchall())


def measure(client: Client, address: str, headers: dict[str, str]) -> results.Row:
    """The numbers of one page."""
    times: list[float] = []
    get(client, address, headers)  # warms up
    web, database = time.process_time(), backend_seconds()
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        size = get(client, address, headers)
        times.append((time.perf_counter() - begin) * 1000)
    web, database = time.process_time() - web, backend_seconds() - database
    with CaptureQueriesContext(connection) as queries:
        get(client, address, headers)
    return {
        "ms": statistics.median(times),
        "web_cpu_ms": web * 1000 / ROUNDS,
        "database_cpu_ms": database * 1000 / ROUNDS,
        "statements": len(queries),
        "kb": size,
    }


def get(client: Client, address: str, headers: dict[str, str]) -> float:
    """Request a page. Returns the kilobytes of the answer."""
    response = client.get(address, headers=headers)
    if response.status_code != 200:
        raise SystemExit(f"{address} answered {response.status_code}")
    return len(response.content) / 1000


def backend_seconds() -> float:
    """CPU time that the PostgreSQL process of our session has used so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000 if results.quick() else 1_000_000)
