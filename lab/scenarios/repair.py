"""The reconciler at once, for the losses of the shops without a ledger."""

from datetime import timedelta

from django.template.defaultfilters import pluralize

from backroom.ledger.models import LIVE, Job
from lab.context import Context
from orders.reconciliation import reconcile

SHOWN = 5  # repairs


def reconcile_now(context: Context) -> str:
    """Reconcile all orders, also young ones, and wait until the repairs are done. Returns the result as text.

    First an order is placed: the reconciler trusts the records of mails only up to the latest mail.
    """
    context.buy()
    context.wait(lambda: context.count().complete, "the effects of a new order", 60)
    context.show("Placed an order: its mail shows that the mail records are complete.")
    outcome = reconcile.run(age=timedelta(0))
    keys = [repair.key for repair in outcome.repairs]
    for repair in outcome.repairs[:SHOWN]:
        context.show(f"{repair}: {repair.why}.")
    if len(keys) > SHOWN:
        context.show(f"And {len(keys) - SHOWN} more.")
    context.wait(lambda: not Job.objects.filter(key__in=keys, state__in=LIVE).exists(), "the repairs", 60)
    left = f" Press again: {_count(outcome.left, 'order')} left." if outcome.left else ""
    done = f"{_count(outcome.orders, 'order')} compared, {_count(len(keys), 'effect')} repaired"
    return f"{done}, {len(outcome.reports)} to review.{left}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{pluralize(number)}"
