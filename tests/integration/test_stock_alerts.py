"""Back in stock: one notice to each who asked, in the order asked, while the product is on sale."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext

from backroom import testing
from catalog import seed
from catalog.models import Product
from catalog.signals import restocked
from marketing import stock_alerts
from marketing.models import StockAlert
from marketing.tasks import find_restocked, tell, tell_those_waiting
from notifications.models import Notice
from orders.ordering import stock
from tests.integration.buying import product
from tests.integration.paid_orders import paid_order
from tests.integration.staff import text
from tests.waiting import until

pytestmark = pytest.mark.django_db


@pytest.fixture
def apples(settings) -> Product:
    """They are sold out."""
    settings.BACKROOM_PARTNER_RATES = {}
    return product("apples", stock=0)


def people(number: int) -> list[User]:
    users = [User(username=f"u{each}", email=f"u{each}@example.com") for each in range(number)]
    return User.objects.bulk_create(users)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def restock(apples: Product, pieces: int = 5) -> None:
    with transaction.atomic():
        Product.objects.filter(pk=apples.pk).update(stock=pieces)
        restocked.send(Product, product_ids=[apples.pk])


class TestAsking:
    def test_a_customer_asks_once_and_the_page_says_so(self, apples):
        client = client_of(people(1)[0])
        assert "Tell me when it is back" in text(client.get("/products/apples/"))
        for _ in range(2):
            answer = client.post("/products/apples/alert/", follow=True)
            assert answer.redirect_chain == [("/products/apples/", 302)]
        assert "We will tell you when it is back." in text(answer)
        assert StockAlert.objects.count() == 1

    def test_a_guest_is_asked_to_sign_in_and_comes_back_to_the_product(self, apples, client):
        assert 'href="/accounts/login/?next=/products/apples/"' in client.get("/products/apples/").content.decode()
        assert client.post("/products/apples/alert/").url.startswith("/accounts/login/")
        assert client_of(people(1)[0]).get("/products/apples/alert/").url == "/products/apples/"
        assert not StockAlert.objects.exists()

    def test_of_a_product_on_sale_there_is_nothing_to_ask(self, apples):
        client = client_of(people(1)[0])
        Product.objects.update(stock=1)
        assert "Tell me" not in text(client.get("/products/apples/"))
        client.post("/products/apples/alert/")
        assert not StockAlert.objects.exists()

    def test_a_foreign_page_can_not_ask(self, apples):
        client = Client(enforce_csrf_checks=True)
        client.force_login(people(1)[0])
        assert client.post("/products/apples/alert/").status_code == 403


class TestRestocking:
    @pytest.fixture
    def alert(self, apples) -> None:
        stock_alerts.ask(people(1)[0].pk, apples)

    def scans(self) -> int:
        return len(testing.enqueued(tell_those_waiting))

    def admin(self) -> Client:
        return client_of(User.objects.create_superuser("staff"))

    @pytest.mark.usefixtures("alert")
    def test_by_staff_in_the_list(self, apples):
        form = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": apples.pk, "form-0-price": "2.40"}
        form |= {"form-0-stock": 7, "initial-form-0-stock": 0, "form-0-active": "on", "form-0-was": "", "_save": "Save"}
        assert self.admin().post("/admin/catalog/product/", form).status_code == 302
        assert self.scans() == 1

    @pytest.mark.usefixtures("alert")
    def test_by_the_end_of_an_order(self, apples):
        stock.release(paid_order("apples").number)
        assert self.scans() == 1

    @pytest.mark.usefixtures("alert")
    def test_by_the_seed(self):
        category = Product.objects.get().category
        basil = Product.objects.create(slug="basil", name="Basil", price=1, stock=0, category=category)
        stock_alerts.ask(User.objects.get().pk, basil)
        assert seed.restock() == 1
        assert [job.args for job in testing.enqueued(tell_those_waiting)] == [{"product": basil.pk}]

    @pytest.mark.usefixtures("alert")
    def test_without_the_signal_is_found_by_the_hour(self, apples):
        find_restocked()
        assert self.scans() == 0
        Product.objects.update(stock=1)
        find_restocked()
        assert self.scans() == 1

    def test_of_what_no_one_waits_for_enqueues_nothing(self, apples):
        restock(apples)
        assert self.scans() == 0


class TestTelling:
    def test_those_who_asked_first_hear_of_it_first_and_each_once(self, apples, mailoutbox):
        users = people(3)
        for late, user in zip((2, 0, 1), users, strict=True):
            stock_alerts.ask(user.pk, apples)
            StockAlert.objects.filter(user=user).update(asked_at=F("asked_at") + timedelta(minutes=late))
        restock(apples)
        testing.run_jobs()
        addresses = ["u1@example.com", "u2@example.com", "u0@example.com"]
        assert [notice.user.email for notice in Notice.objects.order_by("pk")] == addresses
        assert [mail.to for mail in mailoutbox] == [[address] for address in addresses]
        assert mailoutbox[0].subject == "Apples is back in stock"
        restock(apples)
        testing.run_jobs()
        assert len(mailoutbox) == 3

    def test_an_alert_waits_on_if_the_product_is_sold_out_again(self, apples, mailoutbox):
        stock_alerts.ask(people(1)[0].pk, apples)
        restock(apples)
        Product.objects.update(stock=0)
        testing.run_jobs()
        assert StockAlert.objects.filter(notified_at=None).count() == 1
        restock(apples)
        testing.run_jobs()
        assert len(mailoutbox) == 1

    def test_a_notice_of_what_is_sold_out_again_is_not_sent_and_keeps_the_place_in_the_line(self, apples, mailoutbox):
        first, second = people(2)
        stock_alerts.ask(first.pk, apples)
        stock_alerts.ask(second.pk, apples)
        Product.objects.update(stock=1)
        alert = StockAlert.objects.get(user=first)
        with transaction.atomic():
            stock_alerts.tell(alert.pk)
        Product.objects.update(stock=0)
        testing.run_jobs()
        assert mailoutbox == []
        restock(apples)
        # As if the first attempt at sending had died before its commit: the new alert has taken over.
        assert stock_alerts.back_in_stock(str(alert.pk), first) is None
        testing.run_jobs()
        assert [mail.to for mail in mailoutbox] == [["u0@example.com"], ["u1@example.com"]]

    def test_two_jobs_of_one_alert_make_one_notice(self, apples):
        stock_alerts.ask(people(1)[0].pk, apples)
        Product.objects.update(stock=1)
        alert = StockAlert.objects.get()
        for _ in range(2):
            stock_alerts.tell(alert.pk)
        assert Notice.objects.count() == 1

    def test_a_dead_job_holds_up_no_other(self, apples):
        assert tell.call(1, apples.pk).lane.dead_blocks is False

    def test_many_are_enqueued_in_slices(self, apples, monkeypatch):
        monkeypatch.setattr("backroom.runtime.enqueue.SLICE", 10)
        StockAlert.objects.bulk_create(StockAlert(user=user, product=apples) for user in people(25))
        restock(apples)
        with CaptureQueriesContext(connection) as queries:
            tell_those_waiting(apples.pk)
        assert len(testing.enqueued(tell)) == 25
        assert sum("INSERT INTO backroom_job" in query["sql"] for query in queries) == 3


@pytest.mark.django_db(transaction=True)
def test_who_asks_while_the_product_is_restocked_gets_a_notice(apples):
    user = people(1)[0]
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    def restock_beside() -> None:
        restock(apples)
        connection.close()

    beside = threading.Thread(target=restock_beside)
    with transaction.atomic():
        assert stock_alerts.ask(user.pk, apples)
        beside.start()
        with connection.cursor() as cursor:
            until(lambda: cursor.execute(waiting) or cursor.fetchone(), what="the restock to wait for the asking")
    beside.join()
    assert [job.args for job in testing.enqueued(tell_those_waiting)] == [{"product": apples.pk}]
    assert not stock_alerts.ask(user.pk, apples)
