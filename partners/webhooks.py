"""Events that partners send to the shop: signed, kept until the shop accepts them, and sent again until then.

They follow Standard Webhooks (standardwebhooks.com). A 2xx answer accepts an event. A partner without a secret
sends none. A hung shop costs a few tasks of this process and holds up no request.
"""

import asyncio
import json
import logging
import secrets
import sqlite3
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook

from partners.faults import Partner
from partners.store import Store, timestamp

SENDERS = ("warehouse", "sms", "mail", "payments")
ATTEMPT = aiohttp.ClientTimeout(total=5)  # seconds
LEASE = 15.0  # seconds after which an attempt that a dead process began is made again
LONGEST_PAUSE = 60.0  # seconds; the first one is 1
GIVE_UP = 3 * 24 * 3600.0  # seconds
AT_ONCE = 10  # attempts
REPEATS = 3  # under the fault webhook_repeat
HELD = 2.0  # seconds for which the fault webhook_reorder waits for a later event
POLL = 0.2  # seconds between two looks at an event that this fault holds back
FORGER = "whsec_" + b64encode(b"this is not the secret of a partner").decode()
log = logging.getLogger(__name__)
DUE = """
SELECT * FROM webhooks AS event
WHERE due <= :now AND partner IN (SELECT value FROM json_each(:senders)) AND NOT (
    partner IN (SELECT value FROM json_each(:reordered)) AND (since > :now - :held OR EXISTS (
        SELECT 1 FROM webhooks AS later WHERE later.partner = event.partner AND later.subject = event.subject
        AND later.number > event.number AND later.accepted = 0)))
ORDER BY due, number LIMIT :most"""
NEXT = "SELECT min(due) FROM webhooks WHERE partner IN (SELECT value FROM json_each(?))"


class Webhooks:
    """The events in the store. `secrets` has each partner's own; `url` is the shop's address."""

    def __init__(self, store: Store, partners: Mapping[str, Partner], secrets: Mapping[str, str], url: str) -> None:
        self.store, self.partners, self.secrets, self.url = store, partners, secrets, url
        self.signers = json.dumps([name for name, secret in secrets.items() if secret])
        self.changed = asyncio.Event()
        self.attempts = 0  # under way

    def record(
        self, partner: str, type: str, data: dict[str, Any], subject: str, after: float = 0.0, at: str = ""
    ) -> str:
        """Keep an event in the caller's transaction, to be sent after some seconds. It is dated then, or at `at`.

        `subject` names the thing that it is about. Returns the event's id, or "" if the partner has no secret.
        """
        if not self.secrets.get(partner):
            return ""
        due, id = time.time() + after, f"evt_{secrets.token_hex(12)}"
        event = {"type": type, "timestamp": at or timestamp(datetime.fromtimestamp(due, UTC)), "data": data}
        self.store.execute(
            "INSERT INTO webhooks (id, partner, type, subject, body, since, due) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (id, partner, type, subject, json.dumps(event), due, due),
        )
        self.changed.set()
        return id

    def pending(self, latest: int = -1) -> list[dict[str, Any]]:
        """Events that the shop has not accepted, newest first."""
        columns = "id, partner, type, subject, due, attempts, error"
        rows = self.store.execute(f"SELECT {columns} FROM webhooks ORDER BY number DESC LIMIT ?", (latest,))  # noqa: S608
        return [{**row, "due": timestamp(datetime.fromtimestamp(row["due"], UTC))} for row in rows]

    async def run(self) -> None:
        """Send events when they are due, until cancelled."""
        async with aiohttp.ClientSession(timeout=ATTEMPT) as session, asyncio.TaskGroup() as tasks:
            while True:
                self.changed.clear()
                pause: float | None = 1.0
                try:
                    for event in self.take():
                        tasks.create_task(self.send(session, event))
                    pause = self.pause()
                except sqlite3.Error:  # a full disk, for example
                    log.exception("webhooks can't be read")
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):  # wait_for may swallow the cancellation of a stop
                        await self.changed.wait()

    def take(self) -> list[sqlite3.Row]:
        """Events that are due, up to AT_ONCE under way. They are due again after the lease."""
        now, reordered = time.time(), [name for name, each in self.partners.items() if each.faults.webhook_reorder]
        wanted = {"now": now, "senders": self.signers, "reordered": json.dumps(reordered), "held": HELD}
        with self.store.transaction():
            events = self.store.execute(DUE, wanted | {"most": AT_ONCE - self.attempts}).fetchall()
            for event in events:
                self.store.execute(
                    "UPDATE webhooks SET due = ?, attempts = attempts + 1 WHERE number = ?",
                    (now + LEASE, event["number"]),
                )
        self.attempts += len(events)
        return events

    def pause(self) -> float | None:
        """The seconds until the next event is due; None if only a change brings one."""
        due = self.store.execute(NEXT, (self.signers,)).fetchone()[0]
        return None if due is None or self.attempts >= AT_ONCE else max(POLL, due - time.time())

    async def send(self, session: aiohttp.ClientSession, event: sqlite3.Row) -> None:
        """One attempt. It never raises: that would end `run`."""
        try:
            if self.partners[event["partner"]].faults.webhook_forge:
                forged = json.loads(event["body"]) | {"timestamp": "2000-01-01T00:00:00+00:00"}
                await self.post(session, event, json.dumps(forged), FORGER)
            self.finish(event, await self.post(session, event, event["body"], self.secrets[event["partner"]]))
        except Exception:
            log.exception("webhook %s", event["id"])
        finally:
            self.attempts -= 1
            self.changed.set()

    async def post(self, session: aiohttp.ClientSession, event: sqlite3.Row, body: str, secret: str) -> str:
        """Sign and post an event. Returns "" if the shop accepted it, else what happened."""
        now = datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event["id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(event["id"], now, body),
        }
        url = f"{self.url}/webhooks/{event['partner']}"
        try:
            async with session.post(url, data=body.encode(), headers=headers, allow_redirects=False) as response:
                return "" if 200 <= response.status < 300 else f"The shop answered {response.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"The shop did not answer ({type(error).__name__})"

    def finish(self, event: sqlite3.Row, error: str) -> None:
        """Delete an accepted event, or give another one its next due time."""
        now, number = time.time(), event["number"]
        copies = REPEATS if self.partners[event["partner"]].faults.webhook_repeat else 1
        if error and now - event["since"] < GIVE_UP:
            due = now + min(LONGEST_PAUSE, 2.0 ** min(event["attempts"], 10))
            self.store.execute("UPDATE webhooks SET due = ?, error = ? WHERE number = ?", (due, error, number))
        elif not error and event["accepted"] + 1 < copies:
            self.store.execute("UPDATE webhooks SET due = ?, accepted = accepted + 1 WHERE number = ?", (now, number))
        else:
            if error:
                log.error("webhook %s given up: %s", event["id"], error)
            self.store.execute("DELETE FROM webhooks WHERE number = ?", (number,))


WEBHOOKS = web.AppKey("webhooks", Webhooks)
