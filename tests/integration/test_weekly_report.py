"""The weekly report: a PDF with charts for each staff member who asked for it, one for each week."""

from datetime import UTC, date, datetime
from io import BytesIO

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pypdf import PdfReader

from backroom.ledger.models import Job
from backroom.testing import run_jobs
from catalog.models import Product
from orders import tasks
from orders.fulfilment import weekly_report
from orders.fulfilment.pdf import render
from orders.models import WeeklyReader
from tests.integration.mailbox import serving
from tests.integration.paid_orders import paid_order, product
from tests.integration.staff import text

pytestmark = pytest.mark.django_db
PAGE = "/admin/orders/weeklyreader/"
MONDAY = date(2026, 11, 16)
SLOT = "2026-11-23T05:00:00+00:00"


@pytest.fixture
def mailbox(settings):
    with serving(settings) as mailbox:
        yield mailbox


def member(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, f"{name}@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def printed(week: date = MONDAY) -> str:
    pages = PdfReader(BytesIO(render("weekly.typ", weekly_report.report(week)))).pages
    assert len(pages) == 1
    return " ".join(pages[0].extract_text().replace("\u200b", "").split())


def test_readers_get_one_mail_a_week_with_the_pdf(mailbox):
    paid_order("apples", paid_at=at(18))
    readers = [member(name, "view_order") for name in ("ann", "ben")]
    for user in readers:
        WeeklyReader.objects.create(user=user)
    for _ in range(2):
        tasks.enqueue_weekly_reports.enqueue(SLOT)
    run_jobs()
    assert sorted(mail["To"] for mail in mailbox.mails) == [user.email for user in readers]
    assert {mail["Subject"] for mail in mailbox.mails} == {"Sales of week 47, 2026: €4.80"}
    (pdf,) = mailbox.mails[0].iter_attachments()
    assert pdf.get_filename() == "sales-2026-W47.pdf"
    assert "€4.80" in PdfReader(BytesIO(pdf.get_content())).pages[0].extract_text()


def test_a_missed_week_has_its_own_report(mailbox):
    WeeklyReader.objects.create(user=member("ann", "view_order"))
    for slot in SLOT, "2026-11-30T05:00:00+00:00":
        tasks.enqueue_weekly_reports.enqueue(slot)
    run_jobs()
    assert len(mailbox.mails) == 2
    weeks = Job.objects.filter(task="orders.mail_weekly_report").values_list("args__week", flat=True)
    assert sorted(weeks) == ["2026-11-16", "2026-11-23"]


def test_who_left_or_may_no_longer_see_sales_gets_none(mailbox):
    stopped, closed, moved = (member(name, "view_order") for name in ("ann", "ben", "cleo"))
    for user in stopped, closed, moved:
        WeeklyReader.objects.create(user=user)
        tasks.mail_weekly_report.enqueue(user.pk, MONDAY.isoformat())
    client_of(stopped).post(PAGE, {"act": "stop"})
    User.objects.filter(pk=closed.pk).update(is_active=False)
    moved.user_permissions.clear()
    run_jobs()
    assert mailbox.mails == []


def test_staff_start_and_stop_it_for_themselves_only():
    user = member("ann", "view_order")
    client = client_of(user)
    assert "Send it to ann@example.com" in text(client.get(PAGE))
    for _ in range(2):
        assert client.post(PAGE, {"act": "start"}).status_code == 302
    assert "Stop the report" in text(client.get(PAGE))
    WeeklyReader.objects.create(user=member("ben", "view_order"))
    client.post(PAGE, {"act": "stop"})
    assert [reader.user.username for reader in WeeklyReader.objects.all()] == ["ben"]
    assert client_of(member("eve")).get(PAGE).status_code == 403
    assert client_of(member("joe")).post(PAGE, {"act": "start"}).status_code == 403


def test_the_report_compares_days_and_weeks_and_names_the_best_sellers():
    paid_order("apples", "pears", paid_at=at(16, 0))
    paid_order("apples", paid_at=at(22, 23))
    paid_order("pears", paid_at=at(11))
    paid_order("apples", paid_at=at(23, 0))
    paid_order("apples", paid_at=at(17), status="cancelled")
    found = weekly_report.report(MONDAY)
    assert found["facts"] == [
        ["Revenue", "€14.40", "+200 % on the week before"],
        ["Orders paid", "2", "+100 % on the week before"],
        ["Average order", "€7.20", "+50 % on the week before"],
    ]
    assert [(day["label"], day["text"]) for day in found["days"]][::6] == [("Mon", "€9.60"), ("Sun", "€4.80")]
    assert found["days"][2]["parts"] == [0.5, 0.0]
    assert [week["text"] for week in found["weeks"]][-3:] == ["€0.00", "€4.80", "€14.40"]
    assert [(each["label"], each["text"]) for each in found["products"]] == [
        ("Apples (kg)", "€9.60"), ("Pears (kg)", "€4.80"),
    ]  # fmt: skip


def test_a_name_is_printed_as_it_is_and_a_week_without_sales_is_a_report_too():
    assert "No product was sold in this week." in printed()
    product("apples")
    Product.objects.update(name='#panic("x") *bold* 李小龍')
    paid_order("apples", paid_at=at(18))
    page = printed()
    for words in ('#panic("x") *bold* 李', "Sales of week 47, 2026", "16 November to 22 November 2026", "page 1 of 1"):
        assert words in page
