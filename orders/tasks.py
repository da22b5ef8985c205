"""The Celery tasks of this app. The task of a follow-up runs the verb that its entry in follow_ups.py names."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.utils.module_loading import import_string

from backroom import Retry, task
from orders import privacy
from orders.follow_ups import ERASE, FOLLOW_UPS, LINK, PATIENT, FollowUp
from orders.fulfilment import emails
from orders.ordering import settlement
from orders.reconciliation import reconcile as reconciliation


def declare(follow_up: FollowUp) -> None:
    """Register the task of a follow-up. Raises ImportError for a verb that does not exist."""
    declaration = task(
        name=follow_up.task,
        queue=follow_up.queue,
        key=follow_up.key_format,
        retry=follow_up.retry,
        atomic=follow_up.atomic,
        renamed=follow_up.renamed,
    )
    declaration(import_string(follow_up.verb))


for each in (*FOLLOW_UPS, LINK, ERASE):
    declare(each)


@task(name="orders.release_unpaid")
def release_unpaid() -> None:
    """Cancel orders whose payment stayed unconfirmed for too long."""
    settlement.release_unpaid()


@task(name="orders.reconcile", queue="bulk", retry=Retry(attempts=3))
def reconcile() -> dict[str, Any]:
    """Repair what is missing between orders, jobs and partners."""
    return reconciliation.reconcile()


@task(name="orders.erase_old", queue="bulk")
def erase_old() -> dict[str, int]:
    """Erase the customers of old orders, and the documents after their retention."""
    return privacy.erase_old()


@task(name="orders.mail_sales_report", queue="bulk", retry=PATIENT)
def mail_sales_report(day: str | None = None) -> None:
    """Mail staff the sales of a day in UTC (YYYY-MM-DD); the default is yesterday."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    emails.send_sales_report(date.fromisoformat(day) if day else yesterday)


@task(name="orders.mail_repairs", queue="bulk", key="repairs:{mail_id}", retry=PATIENT)
def mail_repairs(mail_id: int) -> None:
    """Mail staff the repairs and findings of the reconciler."""
    emails.send_repairs(mail_id)
