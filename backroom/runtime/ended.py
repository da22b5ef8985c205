"""Which workers have ended: PostgreSQL has no session of theirs, as the kernel closes a dead process's sockets.

A live worker may lose all its sessions, too. So it replaces a lost one at once (pulse.py), and here it has time for it.
"""

import time
from datetime import datetime

from backroom.ledger.sql import rows

PATIENCE = 1.0  # seconds for a live worker to connect again

Beat = tuple[str, datetime]  # a worker's name and its last heartbeat

# This session is older than the worker's last heartbeat, so PostgreSQL has not restarted since. A role sees the names
# of its own sessions only.
ENDED = """
SELECT clock_timestamp(), ended.name, ended.seen_at,
    (SELECT sessions_killed + sessions_fatal FROM pg_stat_database WHERE datname = current_database())
FROM (SELECT) one LEFT JOIN (
    SELECT name, seen_at FROM backroom_heartbeat beat WHERE starts_with(session, session_user || '/')
        AND EXISTS (SELECT FROM backroom_job WHERE state = 'running' AND worker = beat.name)
        AND session <> ALL(ARRAY(SELECT usename || '/' || application_name FROM pg_stat_activity
                                 WHERE application_name <> ''))
        AND seen_at > (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
        AND seen_at > %s) ended ON true
"""


class Ended:
    """A dispatcher's view. It looks again and again."""

    def __init__(self) -> None:
        self.since: dict[Beat, float] = {}  # by time.monotonic
        self.killed: int | None = None
        self.killed_at: datetime | str = "-infinity"

    def look(self) -> list[Beat]:
        """The workers that ended with jobs, and for PATIENCE seconds have neither a session nor a new heartbeat.

        Race: the server, or a person, ended the sessions of a live worker. PostgreSQL counts that, so only heartbeats
        after it count. Raises django.db.Error."""
        found = rows(ENDED, self.killed_at)
        at, _, _, killed = found[0]
        if self.killed not in (None, killed):
            self.killed_at, found = at, []
        self.killed = killed
        now = time.monotonic()
        self.since = {(name, seen): self.since.get((name, seen), now) for _, name, seen, _ in found if name}
        return [beat for beat, since in self.since.items() if now - since >= PATIENCE]
