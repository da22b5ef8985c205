"""The ledger's record of the drill: which release ran which jobs, and which jobs were deferred or died."""

from collections import Counter

import psycopg

TASKS = (
    "orders.mail_receipt", "orders.send_analytics", "orders.request_shipment", "orders.ship_order",
    "orders.update_recommendations", "orders.thank",
)  # fmt: skip
# The release that enqueued a job, by its task or its arguments.
MADE_BY = """CASE WHEN args ? 'order' OR args ->> 'source' = 'web' OR task IN ('orders.ship_order', 'orders.thank')
             THEN 'after' ELSE 'before' END"""
ONLY = {
    "before": "task = 'orders.update_recommendations'",
    "after": "task = 'orders.thank'",
}
LIVE = "state IN ('ready', 'waiting', 'running')"


class Ledger:
    """Reads the ledger with plain SQL. `workers` maps each worker's name to its release."""

    def __init__(self, database: str) -> None:
        self.database = psycopg.connect(database, autocommit=True)
        self.workers: dict[str, str] = {}

    def query(self, sql: str, *parameters: object) -> list[tuple]:
        return self.database.execute(sql, parameters).fetchall()  # type: ignore[arg-type]

    def add_workers(self, release: str) -> int:
        """Count new workers as this release's. Returns the number of all workers so far."""
        found = self.query("SELECT name FROM backroom_heartbeat WHERE role = 'worker'")
        self.workers |= {name: release for (name,) in found if name not in self.workers}
        return len(self.workers)

    def state(self, key: str) -> str:
        return self.query("SELECT state FROM backroom_job WHERE key = %s", key)[0][0]

    def orders_of_after(self) -> list[str]:
        """The numbers of the orders whose jobs the release *after* enqueued: only it has the task orders.thank."""
        found = self.query("SELECT split_part(key, ':', 2) FROM backroom_job WHERE key LIKE 'thanks:%%'")
        return [number for (number,) in found]

    def by_release(self) -> Counter[tuple[str, str]]:
        """Finished jobs, by the release that enqueued them and the one that ran them."""
        found = self.query(
            f"SELECT {MADE_BY}, worker, count(*) FROM backroom_job"  # noqa: S608 - a constant
            " WHERE state = 'succeeded' AND task = ANY(%s) GROUP BY 1, 2",
            list(TASKS),
        )
        matrix = Counter[tuple[str, str]]()
        for made_by, worker, number in found:
            matrix[made_by, self.workers.get(worker, "?")] += number
        return matrix

    def deferred(self) -> dict[str, int]:
        """For each task, the jobs that one worker deferred, without the task or its arguments, and another ran."""
        refused = "unknown_since IS NOT NULL AND state = 'succeeded'"
        return dict(self.query(f"SELECT task, count(*) FROM backroom_job WHERE {refused} GROUP BY 1 ORDER BY 1"))  # noqa: S608

    def dead(self) -> dict[str, str]:
        """The first line of each dead letter's error, by its key."""
        return dict(self.query("SELECT key, split_part(error, E'\\n', 1) FROM backroom_job WHERE state = 'dead'"))

    def only_runnable_by(self, release: str, but: list[str]) -> list[tuple]:
        """Unfinished jobs that the other release has no task for, except those with these keys."""
        return self.query(f"SELECT key FROM backroom_job WHERE {ONLY[release]} AND {LIVE} AND key <> ALL(%s)", but)  # noqa: S608

    def unfinished(self) -> list[str]:
        """The keys of unfinished jobs. Scheduled jobs have none."""
        return [key for (key,) in self.query(f"SELECT key FROM backroom_job WHERE {LIVE} AND key <> ''")]  # noqa: S608
