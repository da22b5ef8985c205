"""What each of staff's pages costs with a full ledger: `python -m bench.pages [jobs]`.

For each: milliseconds from the request to the whole answer (median of ROUNDS, middleware and templates included, one
request at a time); milliseconds of CPU in the web process and in its PostgreSQL session (means), which other load on
the machine changes less; statements; and kilobytes of the answer. The pages of an operator, as a browser and as htmx
ask for them, with DEBUG off. Linux only.
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

from bench import cluster, sample

ROUNDS = 15
TASK = "orders.request_shipment"
GROUP = f"task={TASK}&cause=Permanent:+shipment+of+order+%23+was+refused"


def main(jobs: int) -> None:
    """Print a line for each page."""
    with cluster.running(DEBUG="false", LOG_FORMAT="json"):
        logging.disable(logging.INFO)
        call_command("collectstatic", verbosity=0, interactive=False)
        sample.fill(jobs)
        client = operator()
        print(f"{jobs} jobs; ms; CPU ms: web, PostgreSQL; statements; kB")
        for name, (address, headers) in pages().items():
            found = measure(client, address, headers)
            print(f"{name:34}", found, flush=True)


def operator() -> Client:
    """A browser in which somebody who may act is logged in."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - needs Django to be set up

    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(User.objects.create_superuser("bench"))
    return client


def pages() -> dict[str, tuple[str, dict[str, str]]]:
    """Each page's address and headers, by what it is."""
    from backroom.ledger.models import Job  # noqa: PLC0415

    done = Job.objects.filter(state="succeeded").order_by("id")[1000].id
    dead = Job.objects.filter(state="dead").order_by("id")[1000].id
    run = Job.objects.filter(state="running").order_by("id")[0].id
    htmx = {"HX-Request": "true"}
    plain = {
        "health": "/ops/",
        **{f"charts of a{'n' * (span == 'hour')} {span}": f"/ops/history/?span={span}" for span in SPANS},
        "jobs": "/ops/jobs/",
        **{f"jobs, {state}": f"/ops/jobs/?state={state}" for state in STATES},
        "jobs of a task": f"/ops/jobs/?task={TASK}",
        "jobs of a task nobody runs": "/ops/jobs/?task=nothing",
        "jobs of a queue, succeeded": "/ops/jobs/?queue=bulk&state=succeeded",
        "jobs of a task, dead": f"/ops/jobs/?task={TASK}&state=dead",
        "jobs of a task, dead, none": "/ops/jobs/?task=nothing&state=dead",
        "jobs, dead, page 20": "/ops/jobs/?state=dead&page=20",
        "jobs of an order": "/ops/jobs/?q=14711",
        "jobs by the beginning of a key": "/ops/jobs/?q=receipt:147*",
        "a job by its id": f"/ops/jobs/?q={done}",
        "a job": f"/ops/jobs/{done}/",
        "a dead job": f"/ops/jobs/{dead}/",
        "a running job, each look": f"/ops/jobs/{run}/",
        "edit arguments": f"/ops/jobs/{dead}/edit/",
        "dead letters": "/ops/dead/",
        "a cause": f"/ops/dead/?{GROUP}",
        "preview of a replay": f"/ops/act/?verb=replay&{GROUP}&per_minute=60",
        "preview of a cancel": f"/ops/act/?verb=cancel&{GROUP}",
        "pause a queue": "/ops/pause/?what=queue:bulk",
        "pause a task": "/ops/pause/?what=task:orders.mail_receipt",
        "alerts": "/ops/alerts/",
        "actions": "/ops/actions/",
    }
    return {"health, each look": ("/ops/", htmx), **{name: (address, {}) for name, address in plain.items()}}


SPANS = "hour", "day", "week"
STATES = "ready", "waiting", "running", "succeeded", "dead", "cancelled"


def measure(client: Client, address: str, headers: dict[str, str]) -> str:
    """The figures of one page."""
    times: list[float] = []
    look(client, address, headers)  # warms up
    web, database = time.process_time(), backend_seconds()
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        size = look(client, address, headers)
        times.append((time.perf_counter() - begin) * 1000)
    web, database = time.process_time() - web, backend_seconds() - database
    with CaptureQueriesContext(connection) as queries:
        look(client, address, headers)
    each = 1000 / ROUNDS
    return f"{statistics.median(times):6.1f}  {web * each:6.1f} {database * each:6.1f} {len(queries):4} {size:7.1f}"


def look(client: Client, address: str, headers: dict[str, str]) -> float:
    """One request; kilobytes of the answer."""
    response = client.get(address, headers=headers)
    if response.status_code != 200:
        raise SystemExit(f"{address} answered {response.status_code}")
    return len(response.content) / 1000


def backend_seconds() -> float:
    """CPU time of our session's process in PostgreSQL until now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
