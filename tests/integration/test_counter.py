"""The pages of the cart, the checkout and the order, as a browser without JavaScript sees them."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.messages import get_messages
from django.db.models.functions import Now
from django.test import Client

from backroom.ledger.models import Job
from backroom.ops.models import AuditEntry
from backroom.outbound import breaker
from catalog.models import Product
from orders.cart import Cart, CartItem
from orders.models import Order
from orders.ordering import settlement
from orders.ordering.cancellation import cancel
from orders.ordering.checkout import take_from_cart
from shop.tasks import clear_sessions
from tests.integration.buying import FORM, all_at_once, attempt, buy, effects, fault, product, stock_of
from tests.integration.carts import hidden_in, in_cart, put_in_cart
from tests.integration.mailbox import serving
from tests.integration.staff import reader

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners")]


def messages_of(response) -> str:
    """The messages that the next page shows."""
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def checkout(client: Client, country: str = "PL"):
    """The checkout's form, as it is shown for this country."""
    return client.get("/checkout/", {"country": country})


def send(client: Client, page=None, **changes: str):
    """Fill in the checkout's form and send it."""
    return client.post("/checkout/", FORM | hidden_in(page or checkout(client)) | changes)


@pytest.mark.parametrize(
    ("field", "typed"),
    [("email", "\u0131brahim@example.com"), ("email", "=?utf-8?q?a?=@example.com"), ("email", "a@b")]
    + [("name", "\u3164"), ("name", "\u0301"), ("name", "x" * 101), ("email", f"a@{'b' * 250}.com")]
    + [(field, "goose \U0001fabf") for field in ("name", "address", "city", "postcode")],
)
def test_what_can_not_be_mailed_or_printed_is_refused_before_anything_is_charged(client, field, typed):
    product(stock=10)
    put_in_cart(client)
    response = send(client, **{field: typed})
    errors = response.context["form"].errors
    assert (response.status_code, list(errors), len(errors[field])) == (422, [field], 1), errors
    assert "maxlength" not in response.content.decode().partition('id="checkout"')[2], "a browser would cut the text"
    assert (Order.objects.count(), effects()) == (0, {})


def test_a_guest_buys_and_sees_the_order(client):
    product(stock=10)
    put_in_cart(client, 3)
    response = send(client)
    order = Order.objects.get()
    assert response.url == order.get_absolute_url()
    page = client.get(response.url)
    assert "Apples" in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert (order.status, stock_of(), in_cart(client)) == ("paid", 7, {})


def test_the_invoice_can_be_downloaded_once_it_is_there(client):
    product()
    put_in_cart(client)
    order_page = send(client).url
    order = Order.objects.get()
    assert client.get(order.invoice_url).status_code == 404
    assert order.invoice_url not in client.get(order_page).content.decode()
    attempt(f"invoice:{order.number}")
    assert order.invoice_url.replace("&", "&amp;") in client.get(order_page).content.decode()
    response = client.get(order.invoice_url)
    assert response.content.startswith(b"%PDF-")
    assert response["Content-Disposition"] == f'attachment; filename="invoice-{order.number}.pdf"'
    assert (response["X-Content-Type-Options"], response["Cache-Control"]) == ("nosniff", "private, no-store")


@pytest.mark.parametrize("page", ["", "timeline/", "invoice.pdf"])
@pytest.mark.parametrize("token", ["", "wrong", "ż"])
def test_strangers_do_not_see_an_order(client, admin_client, page, token):
    product()
    put_in_cart(client)
    send(client)
    number = Order.objects.get().number
    attempt(f"invoice:{number}")
    for visitor in (client, admin_client):
        assert visitor.get(f"/orders/{number}/{page}", {"token": token}).status_code == 404


def test_a_double_click_is_one_order_and_one_charge(client):
    product(stock=10)
    put_in_cart(client)
    page = checkout(client)
    first, second = send(client, page), send(client, page)
    assert first.url == second.url == Order.objects.get().get_absolute_url()
    assert list(effects().values()) == [1]


def test_two_windows_of_one_visitor_send_the_same_order(client):
    product()
    put_in_cart(client)
    assert hidden_in(checkout(client))["key"] == hidden_in(checkout(client))["key"]


@pytest.mark.parametrize("key", ["", "made-up"])
def test_a_form_with_a_key_of_another_visitor_buys_nothing(client, key):
    product()
    put_in_cart(client)
    response = send(client, checkout(client), key=key)
    assert response.status_code == 409
    assert not Order.objects.exists()
    assert send(client, response).status_code == 302


def test_a_key_never_opens_another_guests_order(client):
    product()
    put_in_cart(client)
    page = checkout(client)
    send(client, page)
    stranger = Client()
    put_in_cart(stranger)
    assert send(stranger, page).status_code == 409


def test_a_declined_card_keeps_the_cart_and_what_was_typed(client):
    product(stock=10)
    put_in_cart(client, 2)
    response = send(client, card="demo-decline")
    assert response.status_code == 402
    assert "declined" in response.content.decode()
    assert "ul. Długa 1" in response.content.decode()
    assert (in_cart(client), stock_of()) == ({"apples": 2}, 10)
    assert send(client, response).url == Order.objects.get(status="paid").get_absolute_url()


def test_a_pending_payment_is_shown_as_pending(client):
    product()
    put_in_cart(client)
    fault("payments", down=True)
    assert "being confirmed" in client.get(send(client).url).content.decode()


def test_a_payment_company_that_is_away_keeps_the_cart_and_a_second_try_buys(client):
    product(stock=10)
    fault("payments", down=True)
    for _ in range(breaker.THRESHOLD):
        buy()
    left = stock_of()
    put_in_cart(client, 2)
    response = send(client)
    assert response.status_code == 402
    assert "Nothing was charged" in response.content.decode()
    assert (in_cart(client), stock_of()) == ({"apples": 2}, left)
    fault("payments")
    breaker.reset()
    assert send(client, response).url == Order.objects.get(status="paid").get_absolute_url()


def test_wrong_fields_are_shown_beside_what_was_typed(client):
    product()
    put_in_cart(client)
    response = send(client, email="no-address", country="ZZ", name="two\nlines", card="4111")
    assert response.status_code == 422
    assert response.context["form"].errors.keys() == {"email", "country", "card"} | {"name"}
    assert not Order.objects.exists()


def test_a_changed_price_is_shown_before_the_payment(client):
    product(price="2.40")
    put_in_cart(client)
    page = checkout(client)
    Product.objects.update(price="3.00")
    response = send(client, page)
    assert response.status_code == 409
    assert "3.00" in response.content.decode()
    assert not Order.objects.exists()
    send(client, response)
    assert Order.objects.get().lines.get().unit_price == 3


def test_the_delivery_is_shown_in_the_cart_at_the_checkout_and_with_the_order_and_is_free_from_fifty_euros(client):
    product(price="10.00")
    put_in_cart(client, 4)
    for page, cost, total in ("/cart/", "4.90", "44.90"), ("/checkout/?country=PL", "9.90", "49.90"):
        text = client.get(page).content.decode()
        assert f"€{cost}" in text
        assert f"€{total}" in text
    order_page = client.get(send(client).url).content.decode()
    order = Order.objects.get()
    assert (order.delivery, order.total) == (Decimal("9.90"), Decimal("49.90"))
    assert "€9.90" in order_page
    assert f"Expected by <b>{order.arrives_on:%A, %-d %B}" in order_page
    put_in_cart(client, 5)
    assert "€50.00" in client.get("/cart/").content.decode()


def test_a_country_without_a_carrier_is_refused_beside_its_field(client):
    product()
    put_in_cart(client)
    response = send(client, country="BR")
    assert response.status_code == 422
    assert response.context["form"].errors == {"country": ["We do not deliver to this country yet."]}
    assert not Order.objects.exists()


def test_an_order_is_what_its_page_showed_or_refused_with_the_difference(client):
    """The customer fills the form in one tab, and the cart, a price or the country change beside it."""
    product(price="1.95")
    product("honey", price="8.00")
    product("pears")
    put_in_cart(client, 1)
    put_in_cart(client, 1, "pears")
    page = checkout(client, "IE")
    put_in_cart(client, 3, "honey")
    client.post("/cart/update/", {"product": "pears", "quantity": 0})
    Product.objects.filter(slug="apples").update(price="2.10")
    response = send(client, page, country="PL")
    assert response.status_code == 409
    assert response.context["error"].partition("place it again. ")[2].split(". ") == [
        "Apples: the price is now €2.10, it was €1.95",
        "Honey: new in your cart",
        "Pears: no longer in your cart",
        "Delivery to Poland costs €9.90; the page showed €4.90.",
    ]
    assert not Order.objects.exists()
    assert effects() == {}
    assert send(client, response).url == Order.objects.get().get_absolute_url()
    assert Order.objects.get().total == Decimal("36.00")


@pytest.mark.parametrize("shown", ["", "made-up", "W10:1vOyXk:x"])
def test_a_form_that_no_page_of_ours_showed_buys_nothing(client, shown):
    product()
    put_in_cart(client)
    assert send(client, checkout(client), shown=shown).status_code == 409
    assert not Order.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_eight_quick_adds_to_one_cart_none_is_lost(client):
    product(stock=99)
    product("pears")
    put_in_cart(client)

    def add(slug: str) -> None:
        tab = Client()
        tab.cookies = client.cookies
        assert put_in_cart(tab, 1, slug).status_code == 302

    assert all_at_once(*[lambda slug=slug: add(slug) for slug in ["apples", "pears"] * 4]) == [None] * 8
    assert in_cart(client) == {"apples": 5, "pears": 4}


@pytest.mark.django_db(transaction=True)
def test_a_double_click_at_once_leads_to_one_order_twice(client):
    product(stock=10)
    put_in_cart(client)
    page = checkout(client)

    def click() -> str:
        tab = Client()
        tab.cookies = client.cookies
        return send(tab, page).url

    assert set(all_at_once(*[click] * 4)) == {Order.objects.get().get_absolute_url()}
    assert (in_cart(client), list(effects().values())) == ({}, [1])


def test_what_is_added_while_the_bank_decides_stays_in_the_cart(client):
    product()
    product("pears")
    put_in_cart(client, 2)
    order = buy(quantity=2)
    put_in_cart(client, 1)
    put_in_cart(client, 1, "pears")
    take_from_cart(order, Cart.objects.get())
    assert in_cart(client) == {"apples": 1, "pears": 1}


@pytest.mark.parametrize("before", ["the end of the payment", "the cart was emptied"])
def test_a_payment_that_can_not_be_confirmed_gives_the_cart_back(client, before):
    product()
    put_in_cart(client, 2)
    fault("payments", status=500)
    if before == "the cart was emptied":
        order = buy(quantity=2)
        settlement.cancel(order.number)
        take_from_cart(order, Cart.objects.get())  # the request goes on, too late
    else:
        page = send(client).url
        assert in_cart(client) == {}
        put_in_cart(client, 1)
        fault("payments")
        attempt(f"settle:{Order.objects.get().number}")
        text = client.get(page).content.decode()
        assert "could not be confirmed" in text
        assert "back in your cart" in text
    assert Order.objects.get().status == "cancelled"
    assert in_cart(client) == {"apples": 2 if before == "the cart was emptied" else 3}


@pytest.mark.django_db(transaction=True)
def test_a_cart_emptied_while_its_order_ends_unpaid_is_given_back_once(client):
    product(stock=99)
    put_in_cart(client, 2)
    fault("payments", status=500)
    for _ in range(5):
        order = buy(quantity=2)
        done = all_at_once(
            lambda order=order: take_from_cart(order, Cart.objects.get()),
            lambda order=order: settlement.cancel(order.number),
        )
        assert done == [None, True]
        assert in_cart(client) == {"apples": 2}


def test_a_cart_that_nobody_touched_for_as_long_as_a_session_is_deleted(client):
    product()
    put_in_cart(client)
    clear_sessions()
    assert in_cart(client) == {"apples": 1}
    Cart.objects.update(changed_at=Now() - timedelta(days=15))
    clear_sessions()
    assert not Cart.objects.exists()
    put_in_cart(client)
    assert in_cart(client) == {"apples": 1}


def test_a_product_that_sold_out_meanwhile_is_shown_as_sold_out(client):
    product(stock=2)
    put_in_cart(client, 2)
    page = checkout(client)
    Product.objects.update(stock=1)
    response = send(client, page)
    assert response.status_code == 409
    assert "Apples: only 1 left." in response.content.decode()
    assert "Buy now" not in response.content.decode()
    assert in_cart(client) == {"apples": 2}


@pytest.mark.parametrize("quantity", ["0", "-1", "100", "1.5", "many", "", "9" * 400])
def test_absurd_quantities_do_not_enter_the_cart(client, quantity):
    product(stock=500)
    response = put_in_cart(client, quantity)
    assert response.status_code == 302
    assert messages_of(response)
    assert in_cart(client) == {}


def test_no_more_enters_the_cart_than_there_is(client):
    product(stock=3)
    put_in_cart(client, 2)
    assert "only 3 left" in messages_of(put_in_cart(client, 2))
    assert in_cart(client) == {"apples": 2}


@pytest.mark.parametrize(
    ("quantity", "words"), [("100", "At most 99 of one product."), ("1.5", "Type the quantity as a whole number.")]
)
@pytest.mark.parametrize("path", ["/cart/add/", "/cart/update/"])
def test_a_quantity_is_limited_by_a_sentence_of_ours(client, path, quantity, words):
    product(stock=500)
    assert messages_of(client.post(path, {"product": "apples", "quantity": quantity})) == f"Apples: {words}"
    for page in ("/products/apples/", "/cart/"):
        put_in_cart(client)
        text = client.get(page).content.decode()
        assert "novalidate" in text
        assert 'max="' not in text


def test_a_cart_holds_no_more_pieces_than_one_order_but_can_always_hold_fewer(client):
    for slug in "apples", "pears", "plums":
        product(slug, stock=500)
    put_in_cart(client, 99)
    put_in_cart(client, 99, "pears")
    assert "Plums: an order can have at most 200 pieces in all." in messages_of(put_in_cart(client, 3, "plums"))
    put_in_cart(client, 2, "plums")
    CartItem.objects.filter(product__slug="plums").update(quantity=9)  # an unpaid order came back
    assert "at most 200 pieces" in send(client, checkout(client)).context["error"]
    client.post("/cart/update/", {"product": "plums", "quantity": 8})
    assert in_cart(client) == {"apples": 99, "pears": 99, "plums": 8}


def test_the_steps_beside_a_quantity_change_it_by_one_without_a_script(client):
    product()
    put_in_cart(client, 2)
    for step, left in (1, {"apples": 3}), (-1, {"apples": 2}), (-1, {"apples": 1}), (-1, {}):
        client.post("/cart/update/", {"product": "apples", "quantity": sum(in_cart(client).values()), "step": step})
        assert in_cart(client) == left


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stock": 1}, "Only 1 left. Change the quantity to continue."),
        ({"stock": 0}, "Sold out. Please remove it to continue."),
        ({"active": False}, "No longer available. Please remove it to continue."),
    ],
)
def test_what_can_not_be_bought_is_to_be_removed_and_no_sum_counts_it(client, change, words):
    product(price="30.00")
    product("honey", price="8.00")
    put_in_cart(client, 2)
    put_in_cart(client, 1, "honey")
    page = checkout(client, "IE")
    Product.objects.filter(slug="apples").update(**change)
    refused = send(client, page, country="IE").context["error"].partition("Edit your cart. ")[2]
    assert (
        refused == f"Apples: {words.partition('.')[0].lower()}. Delivery to Ireland costs €4.90; the page showed €0.00."
    )
    for path in "/cart/", "/checkout/":
        text = client.get(path).content.decode()
        assert ("not counted" in text, "€60.00" in text, "€12.90" in text) == (True, False, True)
    text = client.get("/cart/").content.decode()
    assert words in text
    assert text.count('class="stepper"') == (2 if change == {"stock": 1} else 1)
    assert "Check out" not in text
    Product.objects.filter(slug="honey").update(active=False)
    text = client.get("/checkout/").content.decode()
    assert "Total" not in text, "with nothing to buy, a total would be the delivery alone"
    assert "Some products are not available. Edit your cart" in text
    Product.objects.filter(slug="honey").update(active=True)
    client.post("/cart/update/", {"product": "apples", "quantity": 0})
    assert in_cart(client) == {"honey": 1}
    assert "Check out" in client.get("/cart/").content.decode()


def test_the_cart_can_be_changed_and_emptied(client):
    product()
    put_in_cart(client, 2)
    client.post("/cart/update/", {"product": "apples", "quantity": "5"})
    assert in_cart(client) == {"apples": 5}
    client.post("/cart/update/", {"product": "apples", "quantity": ["5", "0"]})  # the button "remove"
    assert in_cart(client) == {}


@pytest.mark.parametrize("slug", ["nectar", "", "a b", "apples\0"])
def test_an_unknown_product_is_a_404(client, slug):
    assert put_in_cart(client, slug=slug).status_code == 404


def test_a_product_that_was_withdrawn_after_its_page_was_shown_is_refused_by_its_name(client):
    Product.objects.filter(pk=product().pk).update(active=False)
    response = put_in_cart(client, next="/products/")
    assert (response.status_code, response.url) == (302, "/products/")
    assert messages_of(response) == "Apples: no longer available."
    assert in_cart(client) == {}


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_no_redirect_leads_to_a_foreign_page(client, target):
    product()
    assert put_in_cart(client, next=target).url == "/cart/"
    assert put_in_cart(client, next="/products/").url == "/products/"


@pytest.mark.parametrize("path", ["/cart/add/", "/cart/update/", "/checkout/"])
def test_a_foreign_page_can_not_make_a_visitor_buy(path):
    assert Client(enforce_csrf_checks=True).post(path, FORM | {"product": "apples"}).status_code == 403


@pytest.mark.parametrize("path", ["/cart/add/", "/cart/update/"])
def test_looking_changes_nothing_and_leads_to_the_cart(client, path):
    product()
    assert client.get(path, {"product": "apples", "quantity": 1}).url == "/cart/"
    assert in_cart(client) == {}


def test_an_empty_cart_has_no_checkout(client):
    assert client.get("/checkout/").url == "/cart/"
    assert client.post("/checkout/", FORM).url == "/cart/"


def test_the_timeline_says_what_is_wrong_without_saying_how_we_are_built(client, admin_client):
    product()
    put_in_cart(client)
    page = send(client).url
    order = Order.objects.get()
    fault("analytics", down=True)
    fault("warehouse", status=400)
    for kind in ("invoice", "fraud", "capture", "shipment", "analytics"):
        attempt(f"{kind}:{order.number}")
    own = {row.kind: row.state for row in client.get(page).context["rows"]}
    states = {row.kind: row.state for row in client.get(f"{page}&whole=1").context["rows"]}
    assert {kind: states[kind] for kind in own} == own
    assert states.keys() - own.keys() == {"fraud", "analytics", "recommendations"}
    assert states == {
        "invoice": "done",
        "receipt": "waiting",
        "fraud": "done",
        "capture": "done",
        "shipment": "failed",
        "analytics": "retrying",
        "loyalty": "waiting",
        "recommendations": "waiting",
    }
    text = client.get(f"{order.timeline_url}&whole=1").content.decode()
    for secret in ("Traceback", "PartnerUnavailable", "Permanent", str(Job.objects.first().id)):
        assert secret not in text
    flower = str(Job.objects.get(key=f"analytics:{order.number}").id)
    assert flower in admin_client.get(f"{order.timeline_url}&whole=1").content.decode()


def test_a_customer_reads_of_no_job_that_is_not_their_own_unless_they_ask(client):
    product(price="7.50")
    put_in_cart(client, 2)
    page = send(client).url
    order = Order.objects.get()
    fault("analytics", status=400)
    attempt(f"analytics:{order.number}")
    attempt(f"loyalty:{order.number}")
    for url in (page, order.timeline_url):
        text = client.get(url).content.decode()
        assert f"Order {order.number} is confirmed" in text
        assert "you could have closed this page" in text
        assert "15 points for this order." in text
        assert "Statistics" not in text
        assert "whole=1" in text
        assert "Statistics" in client.get(f"{url}&whole=1").content.decode()


# Find my order


def found(client: Client, number: object, email: str):
    return client.post("/orders/find/", {"number": number, "email": email})


def test_an_orders_link_is_mailed_to_its_own_address_once_in_ten_minutes_and_the_answer_never_says_that_it_exists(
    client, settings, monkeypatch
):
    monkeypatch.setattr("orders.storefront.find.PAUSE", 10**12)  # no ten minutes end within the test
    product()
    order = buy()
    number = order.number
    asked = [
        (number, order.email),
        (f" #{number} ", order.email.upper()),
        (number, "else@example.com"),
        (10**9, order.email),
    ]
    with serving(settings) as mailbox:
        answers = {(answer.status_code, messages_of(answer)) for answer in (found(Client(), *one) for one in asked)}
        assert len(answers) == 1
        jobs = Job.objects.filter(task="orders.mail_link")
        assert sorted(job.args["number"] for job in jobs) == [0, number]
        for job in jobs:
            assert order.email not in f"{job.args}{job.key}"
            assert attempt(job.key).state == "succeeded"
    (mail,) = mailbox.mails
    assert mail["To"] == order.email
    for kind in ("plain", "html"):
        text = mail.get_body((kind,)).get_content().replace("&amp;", "&")
        assert settings.SITE_URL + order.get_absolute_url() in text


def test_an_orders_link_ends_after_the_delivery_and_a_mail_has_a_new_one(client, settings):
    product()
    order = buy()
    old, pages = order.get_absolute_url(), (order.cancel_url, order.timeline_url, f"/api{order.get_absolute_url()}")

    def sent(days: int) -> int:
        """The answer to the old link these days after the delivery."""
        Order.objects.update(created_at=Now() - timedelta(99), sent_at=Now() - timedelta(days), arrives_on=None)
        return client.get(old).status_code

    assert [sent(59), sent(61)] == [200, 404]
    assert [client.get(page).status_code for page in pages] == [404] * 3
    with serving(settings) as mailbox:
        found(client, order.number, order.email)
        attempt(Job.objects.get(task="orders.mail_link").key)
    order.refresh_from_db()
    assert client.get(old).status_code == 404
    assert client.get(order.get_absolute_url()).status_code == 200
    text = mailbox.mails[0].get_body(("plain",)).get_content()
    assert settings.SITE_URL + order.get_absolute_url() in text


def test_the_link_of_an_order_that_was_not_sent_does_not_end(client):
    product()
    order = buy()
    Order.objects.update(created_at=Now() - timedelta(999), arrives_on=None)
    assert client.get(order.get_absolute_url()).status_code == 200
    Order.objects.update(status="cancelled")
    assert client.get(order.get_absolute_url()).status_code == 404


@pytest.mark.parametrize(
    ("number", "email", "wrong"),
    [("", "", ["number", "email"]), ("x", "no", ["number", "email"]), (-1, "a@b.example", ["number"]),
     (10**30, "a@b.example", ["number"])],
)  # fmt: skip
def test_a_form_to_find_an_order_that_makes_no_sense_is_refused_beside_its_fields(client, number, email, wrong):
    response = found(client, number, email)
    assert response.status_code == 422
    assert list(response.context["form"].errors) == wrong
    assert not Job.objects.exists()
    assert re.findall(r'name="(\w+)"[^>]*autofocus', response.content.decode()) == wrong[:1]


@pytest.mark.parametrize(("charged", "payment"), [(False, "Payment release"), (True, "Refund")])
def test_the_timeline_of_a_cancelled_order_says_what_came_of_points_and_payment(client, charged, payment):
    product()
    order = buy()
    for kind in ("loyalty", "fraud", "capture") if charged else ("loyalty",):
        attempt(f"{kind}:{order.number}")
    assert cancel(order.number)
    attempt(f"refund:{order.number}")
    rows = client.get(order.get_absolute_url()).context["rows"]
    said = {row.kind: (row.label, row.state) for row in rows}
    assert said["loyalty"] == ("Return of the loyalty points", "done")
    assert said["refund"] == (payment, "done")


def test_the_timeline_asks_again_until_all_is_done(client):
    product()
    put_in_cart(client)
    page = send(client).url
    number = Order.objects.get().number
    assert client.get(page).context["poll_every"] == 1
    for kind in ("invoice", "receipt", "fraud", "capture", "shipment", "label", "analytics", "loyalty",
                 "recommendations"):  # fmt: skip
        attempt(f"{kind}:{number}")
    assert client.get(f"{page}&whole=1").context["poll_every"] == 10  # the warehouse's reports may come
    Order.objects.update(delivered_at=Now())
    assert client.get(f"{page}&whole=1").context["poll_every"] is None


def test_the_timeline_names_no_time_for_a_job_that_waits_for_a_place_in_its_lane(client):
    product()
    put_in_cart(client)
    page = send(client).url
    parked = {"state": "waiting", "lane": "a", "place": 0, "run_at": datetime(9999, 12, 1, tzinfo=UTC)}
    Job.objects.filter(key__startswith="analytics:").update(**parked, error="analytics: 503")
    rows = client.get(f"{page}&whole=1").context["rows"]
    assert {row.kind: (row.state, row.next_in) for row in rows}["analytics"] == ("waiting", None)


def test_the_timeline_costs_the_same_few_queries_however_much_happens(client, django_assert_max_num_queries):
    product()
    put_in_cart(client)
    send(client)
    order = Order.objects.get()
    with django_assert_max_num_queries(3):
        Client().get(order.timeline_url)


def test_staff_release_an_order_on_hold_from_the_admin(client, admin_client):
    product(price="400.00")
    put_in_cart(client)
    send(client)
    order = Order.objects.get()
    attempt(f"fraud:{order.number}")
    attempt(f"shipment:{order.number}")
    for page in ("/admin/orders/order/", f"/admin/orders/order/{order.number}/change/"):
        assert admin_client.get(page).status_code == 200
    action = {"action": "release_hold", "_selected_action": [order.number]}
    assert "Enter a reason" not in admin_client.post("/admin/orders/order/", action).content.decode()
    order.refresh_from_db()
    assert order.status == "on_hold", "without a reason"
    action |= {"confirm": "yes", "why": "the customer called"}
    assert admin_client.post("/admin/orders/order/", action).status_code == 302
    order.refresh_from_db()
    assert order.status == "paid"
    assert AuditEntry.objects.get().verb == "released from hold"
    attempt(f"shipment:{order.number}")
    assert f"warehouse/shipment shipment:{order.number}" in effects()


@pytest.mark.parametrize("target", ["foo", "catalog", "%", "x y", "https://elsewhere.example/", "//elsewhere.example/"])
def test_next_is_an_address_of_ours_and_never_the_name_of_a_view(client, target):
    product()
    answer = client.post("/cart/add/", {"product": "apples", "quantity": 1, "next": target})
    assert answer.status_code == 302
    assert "elsewhere" not in answer["Location"]


def test_no_cache_keeps_a_page_of_a_person(client):
    product()
    order = buy()
    attempt(f"invoice:{order.number}")
    pages = ["/", "/cart/", "/checkout/", "/orders/find/", "/admin/login/", "/ops/", "/nothing", "/api/products"]
    api = f"/api/orders/{order.number}?token={order.token}"
    for page in [*pages, order.get_absolute_url(), order.cancel_url, order.invoice_url, api]:
        assert "no-store" in client.get(page)["Cache-Control"], page
    assert "no-store" in reader().get("/ops/")["Cache-Control"]
