"""Low stock: one mail for each crossing, one for all of a scan, and none for what is filled up again."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from backroom.ledger.models import Job
from backroom.testing import run_jobs
from catalog import low_stock, tasks
from catalog.models import LowStock, Product
from tests.integration.buying import product
from tests.integration.mailbox import serving

pytestmark = pytest.mark.django_db
TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.fixture
def mailbox(settings):
    with serving(settings) as mailbox:
        yield mailbox


def scan() -> None:
    tasks.find_low_stock.enqueue()
    run_jobs(raising=False)


def stock(slug: str, pieces: int, **fields: object) -> None:
    Product.objects.filter(slug=slug).update(stock=pieces, **fields)


def text_of(mail) -> str:
    return mail.get_body(("plain",)).get_content()


def test_each_crossing_is_mailed_once_and_those_of_a_scan_together(mailbox, settings):
    for slug, pieces in ("apples", 5), ("pears", 0), ("plums", 6):
        product(slug, pieces)
    stock("pears", 0, taken=3)
    for _ in range(2):
        scan()
    (mail,) = mailbox.mails
    assert (mail["To"], mail["Subject"]) == (settings.STAFF_EMAIL, "2 products running low")
    assert f"Apples: 5 {TIMES} kg" in text_of(mail)
    assert "Pears: sold out" in text_of(mail)
    assert "Plums" not in text_of(mail)
    stock("apples", 3)  # it was low already
    scan()
    assert len(mailbox.mails) == 1
    for pieces in 6, 5:
        stock("apples", pieces)
        scan()
    assert [mail["Subject"] for mail in mailbox.mails[1:]] == ["1 product running low"]


def test_a_new_product_that_was_never_in_stock_is_no_crossing_until_it_was():
    product("apples", 0)
    assert low_stock.scan() is None
    stock("apples", 2)
    assert low_stock.scan()


def test_what_is_filled_up_before_its_mail_is_in_none(mailbox):
    product("apples", 1)
    product("pears", 1)
    mailbox.answers["MAIL"] = "451 later"
    scan()
    stock("apples", 9)
    stock("pears", 1, active=False)
    scan()
    mailbox.answers.clear()
    Job.objects.filter(state="waiting").update(run_at=Now())
    run_jobs()
    assert mailbox.mails == []
    stock("pears", 1, active=True)
    scan()
    assert "Pears" in text_of(mailbox.mails[0])


def test_a_crossing_while_the_mail_server_is_down_is_in_one_mail_only(mailbox):
    product("apples", 1)
    mailbox.answers["MAIL"] = "451 later"
    scan()
    product("pears", 1)
    scan()
    mailbox.answers.clear()
    Job.objects.filter(state="waiting", run_at__isnull=False).update(run_at=Now())
    run_jobs()
    assert sorted(text_of(mail).count(f"{TIMES} kg") for mail in mailbox.mails) == [1, 1]


def test_an_old_crossing_is_deleted():
    product("apples", 1)
    low_stock.scan()
    assert low_stock.purge() == 0
    LowStock.objects.update(ended_at=Now() - timedelta(days=366))
    assert low_stock.purge() == 1
