"""What the ledger says of the drill: who ran whose jobs, what was handed on, what is dead."""

from collections import Counter

import psycopg

TASKS = (
    "orders.mail_receipt", "orders.send_analytics", "orders.request_shipment", "orders.ship_order",
    "orders.update_recommendations", "orders.thank",
)  # fmt: skip
# Whose making a job is, as its task or its arguments tell.
MADE_BY = """CASE WHEN args ? 'order' OR args ->> 'source' = 'web' OR task IN ('orders.ship_order', 'orders.thank')
             THEN 'after' ELSE 'before' END"""
ONLY = {
    "before": "task = 'orders.update_recommendations'",
    "after": "task = 'orders.thank'",
}


class Books:
    """The ledger, read as any person may. `workers` says of which release each worker is."""

    def __init__(self, database: str) -> None:
        self.database = psycopg.connect(database, autocommit=True)
        self.workers: dict[str, str] = {}

    def ask(self, sql: str, *parameters: object) -> list[tuple]:
        return self.database.execute(sql, parameters).fetchall()  # type: ignore[arg-type]

    def meet_workers(self, release: str) -> int:
        """Workers that were not known yet are of this release; returns how many there have been."""
        names = [name for (name,) in self.ask("SELECT name FROM backroom_heartbeat") if name not in self.workers]
        self.workers |= dict.fromkeys(names, release)
        return len(self.workers)

    def state(self, key: str) -> str:
        return self.ask("SELECT state FROM backroom_job WHERE key = %s", key)[0][0]

    def taken_by_after(self) -> list[str]:
        """The numbers of the orders of which the release *after* made the jobs: it alone thanks."""
        return [
            number
            for (number,) in self.ask("SELECT split_part(key, ':', 2) FROM backroom_job WHERE key LIKE 'thanks:%%'")
        ]

    def mixture(self) -> Counter[tuple[str, str]]:
        """Jobs done, by the release that enqueued them and the one that ran them."""
        found = self.ask(
            f"SELECT {MADE_BY}, worker, count(*) FROM backroom_job"  # noqa: S608 - it stands above
            " WHERE state = 'succeeded' AND task = ANY(%s) GROUP BY 1, 2",
            list(TASKS),
        )
        mixed = Counter[tuple[str, str]]()
        for made_by, worker, number in found:
            mixed[made_by, self.workers.get(worker, "?")] += number
        return mixed

    def handed_on(self) -> dict[str, int]:
        """How many jobs of a task met a worker that did not know it, or its arguments, and were done by another."""
        refused = "unknown_since IS NOT NULL AND state = 'succeeded'"
        return dict(self.ask(f"SELECT task, count(*) FROM backroom_job WHERE {refused} GROUP BY 1 ORDER BY 1"))  # noqa: S608

    def dead(self) -> dict[str, str]:
        """The reason of each dead letter, by its key."""
        return dict(self.ask("SELECT key, split_part(error, E'\\n', 1) FROM backroom_job WHERE state = 'dead'"))

    def only_known_to(self, release: str, but: list[str]) -> list[tuple]:
        """Jobs still to be done that the other release can't run, other than those of these keys."""
        return self.ask(
            f"SELECT key FROM backroom_job WHERE {ONLY[release]} AND state IN ('ready', 'waiting', 'running')"  # noqa: S608
            " AND key <> ALL(%s)",
            but,
        )

    def unfinished(self) -> list[str]:
        """Keys of jobs still to be done; the schedule's have none."""
        found = self.ask("SELECT key FROM backroom_job WHERE state IN ('ready', 'waiting', 'running') AND key <> ''")
        return [key for (key,) in found]
