"""Starts the partners: `python -m partners`. SIGTERM or SIGINT stops them.

Environment: PARTNERS_HOST (127.0.0.1), PARTNERS_PORT (8100), SMTP_PORT (1025), MAIL_PORT (8025, the inbox),
BACKROOM_VAR (`var`, the folder of partners.sqlite), PARTNERS_URL (by which the shop reaches this process). SITE_URL is
the shop, for a link and for webhooks, unless WEBHOOKS_URL is set. WAREHOUSE_WEBHOOK_SECRET, SMS_WEBHOOK_SECRET,
MAIL_WEBHOOK_SECRET and PAYMENTS_WEBHOOK_SECRET sign them; a partner without one sends none. SHIPS_AFTER (10) and
DELIVERS_AFTER (20) are seconds from an order's shipment to its webhooks, PAYMENTS_AFTER (0) those from a payment's
change to its own; an empty one: never by itself.
"""

import asyncio
import errno
import os
import signal
import sqlite3
import sys
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path

from aiohttp import web
from standardwebhooks import Webhook

from partners import (
    accounting,
    analytics,
    control_api,
    erasure,
    fraud,
    inbox,
    pages,
    payments,
    push,
    receiver,
    sms,
    supplier,
    warehouse,
)
from partners.control_api import INBOX_PORT
from partners.fault_injection import inject_faults
from partners.faults import NAMES, PARTNERS, Partner
from partners.mail import MailServer
from partners.problems import problems, same_origin
from partners.store import STORE, Store
from partners.webhooks import SENDERS, WEBHOOKS, Webhooks

PORTS = {"PARTNERS_PORT": 8100, "SMTP_PORT": 1025, "MAIL_PORT": 8025}
LARGEST_BODY = 256 * 1024  # bytes


def main() -> None:
    """Run until a signal. Exit with one line that names the variable if one is wrong."""
    os.umask(0o077)  # only the owner may read the mails
    host, ports = os.environ.get("PARTNERS_HOST") or "127.0.0.1", {name: port_of(name) for name in PORTS}
    asyncio.run(serve(open_store(), host, ports))


def port_of(name: str) -> int:
    """A port from the environment. Exits if it is not a port."""
    value = os.environ.get(name) or str(PORTS[name])
    if not (value.isascii() and value.isdigit() and len(value) <= 5 and 1 <= int(value) <= 65535):
        sys.exit(f"{name} is {value!r}, but must be a port, a number from 1 to 65535.")
    return int(value)


def open_store() -> Store:
    """The store in $BACKROOM_VAR. Exits if it can't be written."""
    var = Path(os.environ.get("BACKROOM_VAR") or Path(__file__).parent.parent / "var")
    try:
        var.mkdir(parents=True, exist_ok=True)
        return Store(var / "partners.sqlite")
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"BACKROOM_VAR: {var / 'partners.sqlite'} can't be used ({error}).")


def secret_of(partner: str) -> str:
    """The secret that signs a partner's webhooks, or "". Exits if it is not one."""
    name = f"{partner.upper()}_WEBHOOK_SECRET"
    secret = os.environ.get(name, "")
    try:
        if secret:
            Webhook(secret)
    except Exception:  # the library raises errors of any type
        sys.exit(f"{name} must be whsec_ and a key in base64.")
    return secret


def seconds(name: str, default: str) -> float | None:
    """The seconds of a variable, None for an empty one. Exits if it is no number."""
    value = os.environ.get(name, default)
    if value and not (value.isascii() and value.isdigit() and len(value) <= 9):
        sys.exit(f"{name} is {value!r}, but must be seconds, or empty.")
    return float(value) if value else None


def delays() -> dict[warehouse.Event, float]:
    """The seconds after which the warehouse sends each event by itself."""
    names: dict[warehouse.Event, float | None] = {
        "shipment.shipped": seconds("SHIPS_AFTER", "10"),
        "shipment.delivered": seconds("DELIVERS_AFTER", "20"),
    }
    return {event: after for event, after in names.items() if after is not None}


async def serve(store: Store, host: str, ports: dict[str, int]) -> None:
    """Listen on all three ports until a signal."""
    partners = {name: Partner(name) for name in NAMES}
    url = os.environ.get("WEBHOOKS_URL") or os.environ.get("SITE_URL") or "http://127.0.0.1:8000"
    webhooks = Webhooks(store, partners, {name: secret_of(name) for name in SENDERS}, url.rstrip("/"))
    api = partners_app(store, partners, webhooks, ports["MAIL_PORT"])
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runners = []
    for name, app in (("PARTNERS_PORT", api), ("MAIL_PORT", inbox_app(store))):
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await listening(name, host, ports[name], web.TCPSite(runner, host, ports[name]).start())
        runners.append(runner)
    port, connect = ports["SMTP_PORT"], MailServer(store, webhooks, partners["mail"]).connect
    await listening("SMTP_PORT", host, port, loop.create_server(connect, host, port))
    print("partners:", *(f"{name}={number}" for name, number in ports.items()), f"on {host}", flush=True)
    sending = asyncio.create_task(webhooks.run())
    await stop.wait()
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    await asyncio.gather(*(runner.cleanup() for runner in runners))


async def listening(name: str, host: str, number: int, start: Awaitable[object]) -> None:
    """Wait until a server listens. If it can't, exit with the variable to change."""
    try:
        await start
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"{name}: port {number} on {host} is taken. Set {name} to a free one.")
        sys.exit(f"{name} or PARTNERS_HOST: can't listen on {host}:{number} ({error.strerror or error}).")


def partners_app(store: Store, partners: dict[str, Partner], webhooks: Webhooks, inbox_port: int) -> web.Application:
    """The partners' HTTP APIs and the control API."""
    app = web.Application(middlewares=[problems, same_origin, inject_faults], client_max_size=LARGEST_BODY)
    app[STORE], app[PARTNERS], app[WEBHOOKS], app[INBOX_PORT] = store, partners, webhooks, inbox_port
    app[warehouse.AFTER], app[payments.AFTER], app[sms.RECENT] = delays(), seconds("PAYMENTS_AFTER", "0"), deque()
    app[push.BASE_URL] = os.environ.get("PARTNERS_URL", "").rstrip("/")
    for module in (
        payments, warehouse, fraud, analytics, sms, push, supplier, accounting, receiver, erasure, control_api
    ):  # fmt: skip
        app.add_routes(module.routes)
    app.router.add_get("/style.css", pages.style)
    return app


def inbox_app(store: Store) -> web.Application:
    app = web.Application(middlewares=[problems, same_origin])
    app[STORE] = store
    app.add_routes(inbox.routes)
    app.router.add_get("/style.css", pages.style)
    return app


if __name__ == "__main__":
    main()
