"""Signs of life of dispatchers and beats: a row each. A worker's comes with what it runs (rescue.see_worker)."""

import socket
import time
import uuid

from backroom.ledger.sql import rows

EVERY = 2.0  # seconds
KEPT = 3600  # seconds for which a silent process is remembered, so that people can see since when


class Sign:
    """One process's row. Errors of the database pass through."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.name = f"{socket.gethostname()}/{uuid.uuid4().hex[:8]}"  # a restarted one is another one
        self.due = 0.0

    def give(self) -> None:
        """Say that this process lives, if it has not just done so."""
        if time.monotonic() < self.due:
            return
        rows(
            "WITH silent AS (DELETE FROM backroom_process WHERE seen_at < clock_timestamp() - %s * interval '1 second')"
            " INSERT INTO backroom_process (name, role) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET seen_at = clock_timestamp() RETURNING name",
            KEPT,
            self.name,
            self.role,
        )
        self.due = time.monotonic() + EVERY

    def end(self) -> None:
        """Say that it stops."""
        rows("DELETE FROM backroom_process WHERE name = %s RETURNING name", self.name)
