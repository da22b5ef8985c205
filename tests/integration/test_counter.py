"""The pages of the cart, the checkout and the order, as a browser without JavaScript sees them."""

from decimal import Decimal

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from backroom.ledger.models import Job
from backroom.ops.models import AuditEntry
from backroom.outbound import breaker
from catalog.models import Product
from orders.models import Order
from tests.integration.buying import FORM, attempt, buy, effects, fault, product, stock_of
from tests.integration.carts import in_cart, key_in, put_in_cart

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners")]


def messages_of(response) -> str:
    """The messages that the next page shows."""
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def send(client: Client, key: str | None = None, **changes: str):
    """Fill in the checkout's form and send it."""
    key = key or key_in(client.get("/checkout/"))
    return client.post("/checkout/", FORM | {"key": key} | changes)


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
    assert (response["X-Content-Type-Options"], response["Cache-Control"]) == ("nosniff", "private, max-age=0")


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
    key = key_in(client.get("/checkout/"))
    first, second = send(client, key), send(client, key)
    assert first.url == second.url == Order.objects.get().get_absolute_url()
    assert list(effects().values()) == [1]


def test_two_windows_of_one_visitor_send_the_same_order(client):
    product()
    put_in_cart(client)
    assert key_in(client.get("/checkout/")) == key_in(client.get("/checkout/"))


@pytest.mark.parametrize("key", ["", "made-up"])
def test_a_form_with_a_key_of_another_visitor_buys_nothing(client, key):
    product()
    put_in_cart(client)
    client.get("/checkout/")
    response = client.post("/checkout/", FORM | {"key": key})
    assert response.status_code == 409
    assert not Order.objects.exists()
    assert send(client, key_in(response)).status_code == 302


def test_a_key_never_opens_another_guests_order(client):
    product()
    put_in_cart(client)
    key = key_in(client.get("/checkout/"))
    send(client, key)
    stranger = Client()
    put_in_cart(stranger)
    assert stranger.post("/checkout/", FORM | {"key": key}).status_code == 409


def test_a_declined_card_keeps_the_cart_and_what_was_typed(client):
    product(stock=10)
    put_in_cart(client, 2)
    response = send(client, card="demo-decline")
    assert response.status_code == 402
    assert "declined" in response.content.decode()
    assert "ul. Długa 1" in response.content.decode()
    assert (in_cart(client), stock_of()) == ({"apples": 2}, 10)
    assert send(client, key_in(response)).url == Order.objects.get(status="paid").get_absolute_url()


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
    assert send(client, key_in(response)).url == Order.objects.get(status="paid").get_absolute_url()


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
    key = key_in(client.get("/checkout/"))
    Product.objects.update(price="3.00")
    response = send(client, key)
    assert response.status_code == 409
    assert "3.00" in response.content.decode()
    assert not Order.objects.exists()
    send(client, key_in(response))
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
    assert f"expected by {order.arrives_on:%A, %-d %B}" in order_page
    put_in_cart(client, 5)
    assert "€50.00" in client.get("/cart/").content.decode()


def test_a_country_without_a_carrier_is_refused_beside_its_field(client):
    product()
    put_in_cart(client)
    response = send(client, country="BR")
    assert response.status_code == 422
    assert response.context["form"].errors == {"country": ["We do not deliver to this country yet."]}
    assert not Order.objects.exists()


def test_a_product_that_sold_out_meanwhile_is_shown_as_sold_out(client):
    product(stock=2)
    put_in_cart(client, 2)
    key = key_in(client.get("/checkout/"))
    Product.objects.update(stock=1)
    response = send(client, key)
    assert response.status_code == 409
    assert "only 1 left" in response.content.decode().lower()
    assert in_cart(client) == {"apples": 2}


def test_what_is_not_sold_any_more_falls_out_of_the_cart(client):
    product()
    put_in_cart(client)
    Product.objects.update(active=False)
    client.get("/cart/")
    assert in_cart(client) == {}


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


def test_the_cart_can_be_changed_and_emptied(client):
    product()
    put_in_cart(client, 2)
    client.post("/cart/update/", {"product": "apples", "quantity": "5"})
    assert in_cart(client) == {"apples": 5}
    client.post("/cart/update/", {"product": "apples", "quantity": ["5", "0"]})  # the button "remove"
    assert in_cart(client) == {}


@pytest.mark.parametrize("slug", ["nectar", "", "a b", "apples\0", "hidden"])
def test_an_unknown_product_is_a_404(client, slug):
    Product.objects.filter(pk=product("hidden").pk).update(active=False)
    assert put_in_cart(client, slug=slug).status_code == 404


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_no_redirect_leads_to_a_foreign_page(client, target):
    product()
    assert put_in_cart(client, next=target).url == "/cart/"
    assert put_in_cart(client, next="/products/").url == "/products/"


@pytest.mark.parametrize("path", ["/cart/add/", "/cart/update/", "/checkout/"])
def test_a_foreign_page_can_not_make_a_visitor_buy(path):
    assert Client(enforce_csrf_checks=True).post(path, FORM | {"product": "apples"}).status_code == 403


@pytest.mark.parametrize("path", ["/cart/add/", "/cart/update/"])
def test_looking_changes_nothing(client, path):
    assert client.get(path).status_code == 405


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
    states = {row.kind: row.state for row in client.get(page).context["rows"]}
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
    text = client.get(order.timeline_url).content.decode()
    for secret in ("Traceback", "PartnerUnavailable", "Permanent", str(Job.objects.first().id)):
        assert secret not in text
    flower = str(Job.objects.get(key=f"analytics:{order.number}").id)
    assert flower in admin_client.get(order.timeline_url).content.decode()


def test_the_timeline_asks_again_until_all_is_done(client):
    product()
    put_in_cart(client)
    page = send(client).url
    number = Order.objects.get().number
    assert client.get(page).context["poll_every"] == 1
    for kind in ("invoice", "receipt", "fraud", "capture", "shipment", "analytics", "loyalty", "recommendations"):
        attempt(f"{kind}:{number}")
    assert client.get(page).context["poll_every"] is None


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
