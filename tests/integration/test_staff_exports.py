"""Exports of orders and customers: a file for the one who requested it, for a day, whatever dies meanwhile."""

import csv
import os
import re
import time
from datetime import UTC, date, datetime, timedelta
from io import BytesIO, StringIO

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models.functions import Now
from django.test import Client
from python_calamine import CalamineWorkbook

from accounts.models import Customer
from backroom.ledger.models import Job, State
from backroom.ops.models import AuditEntry
from backroom.testing import advance, run_jobs
from orders import tasks
from orders.exports import files, tables
from orders.models import Export, LoyaltyAccount, Order
from shop.clean_up import SWEEPS
from tests.integration.accounts import account, fresh, link_in, stranger
from tests.integration.buying import attempt
from tests.integration.mailbox import serving
from tests.integration.paid_orders import attempted, paid_order
from tests.integration.staff import text

pytestmark = pytest.mark.django_db
ADD = "/admin/orders/export/add/"
ALL = ("add_export", "view_order", "view_user")


@pytest.fixture
def folder(settings, tmp_path):
    """That of the private storage."""
    options = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "private"}}
    settings.STORAGES = {**settings.STORAGES, "default": options}
    return tmp_path / "private"


@pytest.fixture
def mailbox(settings, folder):
    with serving(settings) as mailbox:
        yield mailbox


def staff(*permissions: str) -> tuple[User, Client]:
    user = User.objects.create_user(f"staff-{User.objects.count()}", fresh(), is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = stranger()
    client.force_login(user)
    return user, client


def started(client: Client, kind: str = "orders", form: str = "csv", since: str = "", until: str = "") -> Export:
    answer = client.post(ADD, {"kind": kind, "form": form, "since": since, "until": until})
    assert answer.status_code == 302, text(answer)
    export = Export.objects.latest("pk")
    assert answer.url == f"/admin/orders/export/{export.pk}/change/"
    return export


def made(**fields: object) -> list[dict[str, str]]:
    """The rows of a CSV export that is made at once."""
    export = Export(**{"kind": "orders", "form": "csv", "user": staff(*ALL)[0]} | fields)
    files.start(export)
    export.refresh_from_db()
    files.make(export.pk)
    export.refresh_from_db()
    return list(csv.DictReader(StringIO(default_storage.open(export.file).read().decode("utf-8-sig"))))


def content(answer) -> bytes:
    return b"".join(answer.streaming_content)


def test_an_export_is_made_by_a_job_and_its_link_opens_for_its_person_only(mailbox):
    first = paid_order("apples", "pears", name="=HYPERLINK(1)")
    second = paid_order()
    user, client = staff(*ALL)
    export = started(client)
    page = client.get(f"/admin/orders/export/{export.pk}/change/").content.decode()
    assert "hx-trigger" in page
    assert "Download" not in page
    run_jobs()
    (mail,) = mailbox.mails
    assert (mail["To"], mail["Subject"]) == (user.email, "Your export of orders is ready")
    answer = client.get(link_in(mail))
    assert re.fullmatch(r'attachment; filename="orders-[0-9-]{10}.csv"', answer["Content-Disposition"])
    assert answer["X-Content-Type-Options"] == "nosniff"
    rows = list(csv.DictReader(StringIO(content(answer).decode("utf-8-sig"))))
    assert {row["number"]: (row["name"], row["pieces"], row["total"]) for row in rows} == {
        str(first.number): ("'=HYPERLINK(1)", "4", "9.60"),
        str(second.number): (second.name, "2", "4.80"),
    }
    page = client.get(f"/admin/orders/export/{export.pk}/change/").content.decode()
    assert "2 rows" in page
    assert client.get(re.search(r'href="[^"]*?(/admin/[^"]+token=[^"]+)"', page)[1]).status_code == 200
    for path in (link_in(mail)[:-2] + "xx", "/admin/orders/export/file/"):
        assert client.get(path).status_code == 404
    assert staff(*ALL)[1].get(link_in(mail)).status_code == 404
    assert stranger().get(link_in(mail)).url.startswith("/admin/login/")
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", "who"))
    assert verbs == [("started", user.username), ("downloaded", user.username), ("downloaded", user.username)]
    assert first.email not in str(list(Job.objects.values_list("args", "key", "context", "result")))


def test_each_row_comes_once_in_the_order_of_its_time_also_where_slices_end_among_equal_times(folder, monkeypatch):
    monkeypatch.setattr(tables, "SLICE", 2)
    at = datetime(2026, 11, 22, tzinfo=UTC)
    days = [at, at + timedelta(hours=24, microseconds=-1), *[at + timedelta(days=1)] * 5, at + timedelta(days=2)]
    numbers = [paid_order().number for _ in days]
    for number, day in zip(numbers, days, strict=True):
        Order.objects.filter(pk=number).update(created_at=day)
    found = [int(row["number"]) for row in made()]
    assert found == [*numbers[:2], *sorted(numbers[2:7]), numbers[7]]
    assert len(made(since=date(2026, 11, 23), until=date(2026, 11, 23))) == 5
    assert [row["number"] for row in made(until=date(2026, 11, 22))] == [str(number) for number in numbers[:2]]


def test_customers_are_exported_with_what_they_bought_and_staff_are_not(mailbox):
    user = account(fresh())
    Customer.objects.create(user=user, name="Zofia", city="Gdynia")
    LoyaltyAccount.objects.create(email=user.email, points=7)
    paid_order(user=user)
    paid_order(user=user, status="cancelled")
    account(fresh(), is_active=False)
    _, client = staff(*ALL)
    started(client, "customers", "xlsx")
    run_jobs()
    book = CalamineWorkbook.from_filelike(BytesIO(content(client.get(link_in(mailbox.mails[0])))))
    header, *rows = book.get_sheet_by_index(0).to_python()
    (row,) = [dict(zip(header, row, strict=True)) for row in rows]
    found = row["number"], row["email"], row["name"], row["city"], row["orders"], row["spent"], row["points"]
    assert found == (user.pk, user.email, "Zofia", "Gdynia", 1, 4.8, 7)


def test_who_may_not_see_orders_one_by_one_may_not_export_them(mailbox):
    for permissions in (), ("view_order",), ("add_export",):
        _, client = staff(*permissions)
        assert client.get(ADD).status_code == 403
        assert client.post(ADD, {"kind": "orders", "form": "csv"}).status_code == 403
    _, client = staff("add_export", "view_user")
    assert "Select a valid choice" in client.post(ADD, {"kind": "orders", "form": "csv"}).content.decode()
    assert stranger().get(ADD).url.startswith("/admin/login/")
    assert not Export.objects.exists()
    assert Client(enforce_csrf_checks=True).post(ADD).status_code == 403


def test_a_right_that_is_withdrawn_ends_the_job_the_mail_and_the_link(mailbox):
    user, client = staff(*ALL)
    started(client)
    run_jobs()
    link = link_in(mailbox.mails.pop())
    ready, late = started(client), started(client)
    attempt(files.keys(ready)[0])
    user.user_permissions.remove(Permission.objects.get(codename="view_order"))
    run_jobs()
    late.refresh_from_db()
    assert (mailbox.mails, late.made_at) == ([], None)
    assert client.get(link).status_code == 404


def test_the_file_and_its_link_end_after_a_day(mailbox, folder):
    _, client = staff(*ALL)
    export = started(client)
    run_jobs()
    link = link_in(mailbox.mails[0])
    assert files.purge() == 0
    Export.objects.update(made_at=Now() - timedelta(hours=25))
    assert client.get(link).status_code == 404
    assert attempted(tasks.purge_exports.enqueue()).result == 1
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert "The file was deleted" in text(client.get(f"/admin/orders/export/{export.pk}/change/"))
    Job.objects.filter(key=files.keys(export)[1]).delete()
    mailbox.mails.clear()
    assert attempted(tasks.mail_export.enqueue(export.pk)).state == State.SUCCEEDED
    assert mailbox.mails == []


def test_a_disk_that_fails_costs_an_attempt_and_the_next_one_makes_the_file_once(mailbox, folder):
    _, client = staff(*ALL)
    export = started(client)
    folder.touch()  # it is no folder
    run_jobs(raising=False)
    assert Job.objects.get(key=files.keys(export)[0]).state == State.WAITING
    assert "hx-trigger" in client.get(f"/admin/orders/export/{export.pk}/change/").content.decode()
    folder.unlink()
    advance(timedelta(minutes=1))
    run_jobs()
    assert len(mailbox.mails) == 1
    files.make(export.pk)
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"since": "2026-11-23", "until": "2026-11-22"}, "not before the first"),
        ({"form": "xlsx"}, "Choose fewer days"),
        ({"until": "9999-12-32"}, "Enter a valid date"),
    ],
)
def test_what_can_not_be_exported_is_said_beside_its_field(fields, words, folder, monkeypatch):
    monkeypatch.setattr("orders.export_admin.MOST", 0)
    paid_order()
    _, client = staff(*ALL)
    page = client.post(ADD, {"kind": "orders", "form": "csv"} | fields)
    assert words in page.content.decode()
    assert not Export.objects.exists()


def test_the_last_day_of_the_calendar_is_a_day(folder):
    paid_order()
    assert len(made(since=date.min, until=date.max)) == 1


def test_the_sweep_deletes_only_old_files_that_no_row_names(folder):
    export = Export.objects.create(kind="orders", form="csv")
    names = [default_storage.save(f"exports/{each}.csv", ContentFile(b"x")) for each in ("named", "old", "young")]
    Export.objects.filter(pk=export.pk).update(file=names[0])
    for name in names[:2]:
        os.utime(default_storage.path(name), (time.time() - 90_000,) * 2)
    SWEEPS["exports"]()
    assert sorted(path.name for path in (folder / "exports").iterdir()) == ["named.csv", "young.csv"]
