"""`make demo`: runs the whole shop, places a sample order, and runs until Ctrl-C."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from stack import cluster, environment, ports, processes, sample_order
from stack.processes import Process
from stack.terminal import BOLD, GREEN, RED, paint, say

LAB = "lab.processes"  # imported by name: the lab is above this room
# Seconds from an order's shipment, and from a change of its payment, to the partners' webhooks
REPORTS = {"SHIPS_AFTER": "10", "DELIVERS_AFTER": "20", "PAYMENTS_AFTER": "0"}
OWN = ("DATABASE_URL", "BROKER_URL", "EMAIL_URL")


def run(var: Path, environ: Mapping[str, str]) -> int:
    """Run the demo until Ctrl-C. Returns the exit status."""
    numbers = ports.chosen(environ)
    say(f"{paint('Backroom', BOLD)}: data, logs and passwords are in {var}\n")
    try:
        with cluster.running(var, numbers, {**REPORTS, **environ}, _processes(environ)) as supervisor:
            _sample_order(supervisor.env["SITE_URL"])
            _addresses(supervisor.env, environ)
            supervisor.child.wait()
    except KeyboardInterrupt:
        say("All stopped. The data stays for the next make demo.")
        return 0
    say("supervisord died, and the processes with it. The data is safe: run make demo again.")
    return 1


def has_lab(environ: Mapping[str, str]) -> bool:
    """Whether the demo includes the lab: all its servers are embedded, and DEBUG is on."""
    return not any(environ.get(name) for name in OWN) and environ.get("DEBUG", "").lower() in ("", "true")


def _processes(environ: Mapping[str, str]) -> Callable[[Mapping[str, str]], list[Process]]:
    return import_module(LAB).demo if has_lab(environ) else processes.shop


def _sample_order(site: str) -> None:
    placed = sample_order.place(site)
    say(f"\n{paint('A sample order', BOLD)}")
    total = f"{'€' if placed.currency == 'EUR' else placed.currency + ' '}{placed.total}"
    answer = f"answered in {placed.milliseconds:.0f} ms ({placed.status}, {total})"
    say(f"  order {placed.number} placed: {answer}")
    try:
        for job in sample_order.follow(site, placed):
            colour = GREEN if job["state"] == "succeeded" else RED
            say(f"  {paint(f'{sample_order.label(job):<24}', colour)} after {sample_order.seconds_after(job):.2f} s")
    except sample_order.OrderFailed as error:  # e.g. a paused queue, which the running demo can resume
        say(f"  {paint('not finished:', RED)} {error}\n  see {site}/ops/")
    say(f"  its page: {placed.url}")


def _addresses(env: Mapping[str, str], environ: Mapping[str, str]) -> None:
    account = f"{environment.STAFF} / {env['STAFF_PASSWORD']}"
    site = env["SITE_URL"]
    rows = {
        "the shop": site,
        "its mails": env["INBOX_URL"],
        "the partners": env["PARTNERS_URL"],
        "the API": f"{site}/api/docs",
        "operations": f"{site}/ops/  ({account})",
        "admin": f"{site}/admin/  (the same account)",
        "metrics": f"{site}/metrics  (after login there)",
        "Flower": f"{env['FLOWER_URL']}  ({env['FLOWER_BASIC_AUTH'].replace(':', ' / ', 1)})",
    }
    if has_lab(environ):
        rows["the lab"] = f"{site}/lab/  (break it yourself)"
    if environ.get("EMAIL_URL"):
        rows["its mails"] = "sent to your own EMAIL_URL"
    say(f"\n{paint('Open', BOLD)}")
    for name, address in rows.items():
        say(f"  {name:<14}{address}")
    say(f"\n{paint('Ctrl-C stops everything.', BOLD)}")
