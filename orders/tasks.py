"""The Celery tasks of this app. The task of a follow-up runs the verb that its entry in follow_ups.py names."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.utils.module_loading import import_string

from backroom import Retry, enqueue_all, enqueue_many, task
from orders import accounting, privacy
from orders.exports import files, links
from orders.follow_ups import ERASE, FOLLOW_UPS, LINK, PATIENT, FollowUp
from orders.fulfilment import emails, recommendations, weekly_report
from orders.models import WeeklyReader
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


@task(name="orders.rebuild_recommendations", queue="bulk", unique=("rebuild-recommendations", "while live"))
def rebuild_recommendations() -> None:
    """Count anew which products are bought together."""
    recommendations.rebuild()


def _day(slot_time: str) -> date:
    """The day of a slot in UTC, or today."""
    return (datetime.fromisoformat(slot_time) if slot_time else datetime.now(UTC)).date()


@task(name="orders.mail_sales_report", queue="bulk", retry=PATIENT)
def mail_sales_report(day: str | None = None, slot_time: str = "") -> None:
    """Mail staff the sales of a day in UTC (YYYY-MM-DD); the default is the day before the slot."""
    emails.send_sales_report(date.fromisoformat(day) if day else _day(slot_time) - timedelta(days=1))


@task(name="orders.enqueue_weekly_reports", queue="bulk")
def enqueue_weekly_reports(slot_time: str = "") -> int:
    """Enqueue the report of the week before the slot, for each reader; returns how many."""
    week = weekly_report.monday(_day(slot_time) - timedelta(weeks=1)).isoformat()
    readers = WeeklyReader.objects.values_list("user", flat=True)
    return len(enqueue_all(*(mail_weekly_report.call(user, week) for user in readers)))


@task(name="orders.mail_weekly_report", queue="bulk", key="weekly:{week}-{user}", retry=PATIENT)
def mail_weekly_report(user: int, week: str) -> None:
    """Mail a staff member the report of the week that begins on this Monday (YYYY-MM-DD)."""
    weekly_report.send(user, date.fromisoformat(week))


@task(name=files.MAKE, queue="bulk", key="staff-export:{export}", retry=PATIENT)
def make_export(export: int) -> None:
    """Write the file of an export for staff."""
    files.make(export)


@task(name=files.MAIL, key="staff-export-link:{export}", retry=PATIENT)
def mail_export(export: int) -> None:
    """Mail the link to an export for staff."""
    links.mail(export)


@task(name="orders.purge_exports", queue="bulk")
def purge_exports() -> int:
    """Delete the files of old exports for staff."""
    return files.purge()


@task(name="orders.mail_repairs", queue="bulk", key="repairs:{mail_id}", retry=PATIENT)
def mail_repairs(mail_id: int) -> None:
    """Mail staff the repairs and findings of the reconciler."""
    emails.send_repairs(mail_id)


@task(name="orders.plan_accounting", queue="bulk", unique=("accounting-plan", "while live"), atomic=True)
def plan_accounting() -> int:
    """Enqueue a job for each batch of documents that was not sent; returns how many."""
    return enqueue_many(send_accounting_batch.call(batch) for batch in accounting.plan())


@task(name="orders.send_accounting_batch", queue="bulk", key="accounting:{batch}", retry=PATIENT)
def send_accounting_batch(batch: int) -> None:
    """Have a batch of documents booked."""
    accounting.send(batch)
