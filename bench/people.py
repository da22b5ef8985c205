"""Measures what a campaign costs those who wait: seconds until a reset's mail, with 0, 1,000 and 10,000 mails of a
campaign waiting, and a checkout's latency meanwhile: `python -m bench.people [mails]`. Prints a line for each number.

Seconds of a reset are from the browser's request until the mail server has the mail. Checkouts are measured in
interleaved rounds, without a campaign and with one.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import urllib3

from bench import results, shop
from lab.faults.customers import Customers, cheap
from lab.faults.stack import RunningStack

RESETS = 3 if results.quick() else 15
ROUNDS, SECONDS = (1, 5.0) if results.quick() else (7, 12.0)
CUSTOMERS, PAUSE = 3, 0.3  # seconds between two orders of one customer
PATIENCE = 60.0  # seconds
BEGUN = 20  # mails after which a campaign is in full swing


def main(most: int) -> None:
    numbers = (0, most // 10, most)
    with shop.running() as (stack, _):
        reset(stack)  # the first one of a process imports what it needs
        rows: list[results.Row] = [{"waiting": number, **resets(stack, number)} for number in numbers]
        without, during = checkouts(stack, most)
    rows[0] |= latency(without)
    rows[-1] |= latency(during)
    medians = [[statistics.median(each) for each in rounds] for rounds in (without, during)]
    rows[-1]["p50_ratio"] = statistics.median(after / before for before, after in zip(*medians, strict=True))
    rows[-1]["p99_ratio"] = rows[-1]["checkout_p99_ms"] / rows[0]["checkout_p99_ms"]
    for row in rows:
        print("  ".join(f"{name} {value:.5g}" for name, value in row.items()))
    results.save("people", rows, resets=RESETS, rounds=ROUNDS, customers=CUSTOMERS)


def resets(stack: RunningStack, mails: int) -> results.Row:
    """Seconds until the mails of some resets, one after the other."""
    with campaign(stack, mails):
        seconds = [reset(stack) for _ in range(RESETS)]
    return {"reset_s": statistics.median(seconds), "longest_s": max(seconds)}


def reset(stack: RunningStack) -> float:
    from lab.faults import people  # noqa: PLC0415 - needs Django to be set up

    address, begin = people.join(), time.time()
    key = people.forget_password(stack.site, address)
    wait(lambda: bool(stack.effects(key)))
    (effect,) = urllib3.request("GET", f"{stack.partners}/effects", fields={"key": key}).json()["effects"]
    return datetime.fromisoformat(effect["at"]).timestamp() - begin


def checkouts(stack: RunningStack, mails: int) -> tuple[list[list[float]], list[list[float]]]:
    """The seconds of each round's checkouts, without a campaign and during one."""
    from catalog.models import Product  # noqa: PLC0415 - needs Django to be set up

    Product.objects.update(stock=10_000_000)
    products = cheap(urllib3.request("GET", f"{stack.site}/api/products").json()["items"])
    found: tuple[list[list[float]], list[list[float]]] = ([], [])
    order(stack.site, products, 2.0)  # the first requests of a process import what they need
    for _ in range(ROUNDS):
        for number, rounds in zip((0, mails), found, strict=True):
            with campaign(stack, number):
                rounds.append(order(stack.site, products, SECONDS))
    return found


def order(site: str, products: list[str], seconds: float) -> list[float]:
    """The seconds of each answer to customers who order for so long."""
    with Customers(site, products, "people@example.org", (True,) * CUSTOMERS, PAUSE) as customers:
        time.sleep(seconds)
    return [answer["seconds"] for answer in customers.answers]


def latency(rounds: list[list[float]]) -> results.Row:
    cuts = statistics.quantiles([each * 1000 for seconds in rounds for each in seconds], n=100, method="inclusive")
    return {"checkout_p50_ms": cuts[49], "checkout_p99_ms": cuts[98]}


@contextmanager
def campaign(stack: RunningStack, mails: int) -> Iterator[None]:
    """A campaign to this many readers is being sent during the block, and no job is left of it afterwards."""
    from backroom.ledger.models import Job, State  # noqa: PLC0415 - need Django to be set up
    from lab.faults import people  # noqa: PLC0415
    from marketing import campaign_progress, campaigns  # noqa: PLC0415
    from marketing.models import Campaign  # noqa: PLC0415

    if not mails:
        yield
    else:
        people.subscribe(mails)
        sent = Campaign.objects.create(subject="Everything green", body="Everything green is in season.")
        campaigns.schedule(sent.pk)
        wait(lambda: campaign_progress.progress(Campaign.objects.get(pk=sent.pk)).done >= BEGUN)
        yield
        if not campaigns.cancel(sent.pk):
            raise ValueError(f"the campaign ended before the measurement: {mails} mails are too few")
        people.remove()
    wait(lambda: not Job.objects.filter(state__in=[State.READY, State.RUNNING]).exists())


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE:g} s")
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000 if results.quick() else 10_000)
