"""The nightly report: one day in UTC, by mail to staff."""

from datetime import UTC, datetime, timedelta

import pytest

from backroom.ledger.models import State
from orders import tasks
from orders.models import Status
from tests.integration import mailbox as smtp
from tests.integration.paid_orders import PAID_AT, attempted, job_of, paid_order

pytestmark = pytest.mark.django_db
TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.fixture
def mailbox(settings):
    with smtp.serving(settings) as mailbox:
        yield mailbox


def test_the_sales_report_counts_one_day_and_names_what_waits_for_a_person(mailbox, settings):
    paid_order("apples", "pears")
    paid_order("apples", status=Status.ON_HOLD, delivery="6.00", total="10.80")
    paid_order("plums", paid_at=PAID_AT.replace(hour=0, minute=0) - timedelta(microseconds=1))
    paid_order("plums", paid_at=PAID_AT.replace(hour=0, minute=0) + timedelta(days=1))
    paid_order("plums", status=Status.CANCELLED)
    unpaid = paid_order("figs", status=Status.PLACED, paid_at=None)
    job_of("invoice", unpaid.number)
    assert attempted(tasks.mail_sales_report.enqueue("2026-11-22")).state == State.SUCCEEDED
    (mail,) = mailbox.mails
    assert mail["To"] == settings.STAFF_EMAIL
    assert mail["Message-ID"] == "<sales-report.2026-11-22@backroom.example>"
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    for part in ("Sunday, 22 November 2026", "Orders paid 2", "Revenue €20.40", "On hold 1",
                 "VAT 5 %: net €13.71, VAT €0.69, gross €14.40", "VAT 20 %: net €5.00, VAT €1.00, gross €6.00",
                 f"4 {TIMES} Apples (kg): €9.60", f"2 {TIMES} Pears (kg): €4.80",
                 f"1 {TIMES} orders.make_invoice"):  # fmt: skip
        assert part in text, f"{part} not in {text}"
    assert "Plums" not in text
    assert "€20.40" in mail.get_body(("html",)).get_content()


def test_the_sales_report_is_of_yesterday_by_default(mailbox):
    attempted(tasks.mail_sales_report.enqueue())
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert mailbox.mails[0]["Message-ID"] == f"<sales-report.{yesterday}@backroom.example>"


def test_the_sales_report_of_a_missed_slot_is_of_its_own_day(mailbox):
    attempted(tasks.mail_sales_report.enqueue(slot_time="2026-11-25T01:00:00+00:00"))
    assert mailbox.mails[0]["Message-ID"] == "<sales-report.2026-11-24@backroom.example>"
