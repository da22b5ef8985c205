"""The orders of an account: which ones it has, who else opens them, and ordering again."""

import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Customer
from catalog.models import Product
from orders.cart import CartItem
from orders.models import LoyaltyAccount, Order
from orders.numbers import new_number
from orders.ordering import checkout, refusals
from orders.ordering.basket import Wanted
from tests.integration.accounts import PASSWORD, account, fresh, link_in, mails_of, sign_in, stranger
from tests.integration.buying import CUSTOMER, FORM, product, stock_of
from tests.integration.carts import hidden_in, put_in_cart
from tests.integration.mailbox import serving
from tests.integration.paid_orders import paid_order

pytestmark = pytest.mark.django_db


def signed_in_as(user: User) -> Client:
    client = stranger()
    assert sign_in(client, user.email).status_code == 302
    return client


def verify(user: User) -> None:
    address = EmailAddress.objects.get(user=user)
    email_confirmed.send(EmailAddress, request=None, email_address=address)


def bought_by(client: Client, **changes: str) -> Order:
    put_in_cart(client)
    assert (
        client.post("/checkout/", FORM | hidden_in(client.get("/checkout/", {"country": "PL"})) | changes).status_code
        == 302
    )
    return Order.objects.first()


def test_an_order_placed_signed_in_is_the_accounts_and_a_guests_and_the_apis_are_not(partners):
    product(stock=50)
    user = account(fresh())
    client = signed_in_as(user)
    own = bought_by(client, email="gift@example.com")
    assert own.user == user
    for page in ("/accounts/", "/accounts/orders/"):
        assert f"Order {own.number}" in client.get(page).content.decode()
    body = FORM | {"lines": [{"product": "apples", "quantity": 1}], "email": user.email}
    answer = client.post("/api/orders", body, content_type="application/json")
    assert (answer.status_code, Order.objects.get(pk=answer.json()["number"]).user) == (201, None)
    assert bought_by(stranger(), email=user.email).user is None


def test_guests_orders_join_the_account_that_verifies_their_address_in_any_case():
    email = fresh()
    mine, other = paid_order(email=email.upper()), paid_order(email=fresh())
    taken = paid_order(email=email, user=account(fresh()))
    erased = paid_order(email=email)
    Order.objects.filter(pk=erased.pk).update(erased_at="2026-01-01T00:00Z")
    user = account(email)
    assert not Order.objects.filter(user=user).exists(), "a sign-up alone brings none"
    verify(user)
    assert list(Order.objects.filter(user=user)) == [mine]
    assert (Order.objects.get(pk=taken.pk).user, Order.objects.get(pk=other.pk).user) == (taken.user, None)


def test_a_changed_address_brings_its_guests_orders_and_takes_those_of_the_former_one_along(settings):
    old, new, client = fresh(), fresh(), stranger()
    user = account(old)
    before, of_new = paid_order(user=user, email=old.upper(), points=7), paid_order(email=new)
    gift = paid_order(user=user, email=f"gift.{old}")
    LoyaltyAccount.objects.create(email=old, points=9)  # two of them by a guest's order
    sign_in(client, old)
    client.post("/accounts/email/", {"action_add": "", "email": new, "oldpassword": PASSWORD})
    assert not Order.objects.filter(pk=of_new.pk, user=user).exists(), "not verified yet"
    with serving(settings) as mailbox:
        (mail,) = mails_of(mailbox)
    client.post(link_in(mail))
    assert set(Order.objects.filter(user=user)) == {before, of_new, gift}
    emails = [Order.objects.get(pk=order.pk).email for order in (before, of_new, gift)]
    assert emails == [new, new, f"gift.{old}"], "the mails of the account's orders go to its new address"
    assert dict(LoyaltyAccount.objects.values_list("email", "points")) == {old: 2, new: 7}
    assert stranger().get(before.get_absolute_url()).status_code == 404, "a link in the old mailbox ends"
    assert stranger().get(gift.get_absolute_url()).status_code == 200


def test_a_later_order_of_a_guest_joins_only_by_the_act_of_its_addresss_owner(partners):
    user = account(fresh())
    client, other = signed_in_as(user), signed_in_as(account(fresh()))
    order = paid_order(email=user.email)
    guests_page = stranger().get(order.get_absolute_url()).content.decode()
    assert "account" not in guests_page.partition("<main")[2].partition("</main")[0], "nothing about accounts"
    assert 'id="claim"' in client.get(order.get_absolute_url()).content.decode()
    assert 'id="claim"' not in other.get(order.get_absolute_url()).content.decode()
    assert other.post(order.claim_url).status_code == 404
    assert client.post(f"/orders/{order.number}/add/?token=wrong").status_code == 404
    assert stranger().post(order.claim_url).url.startswith("/accounts/login/")
    for _ in range(2):
        client.post(order.claim_url)
    assert Order.objects.get(pk=order.pk).user == user


@pytest.mark.parametrize("page", ["", "timeline/", "cancel/", "invoice.pdf", "credit-note.pdf"])
def test_another_persons_order_is_like_an_unknown_one(page):
    order = paid_order(user=account(fresh()))
    for client in (stranger(), signed_in_as(account(fresh()))):
        answers = [client.get(f"/orders/{number}/{page}") for number in (order.number, new_number())]
        assert [answer.status_code for answer in answers] == [404, 404]
    other = signed_in_as(account(fresh()))
    assert other.post(f"/accounts/orders/{order.number}/again/").status_code == 404
    assert str(order.number) not in other.get("/accounts/orders/").content.decode()


def test_its_owner_opens_an_order_without_its_link_also_after_that_ended():
    user = account(fresh())
    order = paid_order(user=user, created_at="2020-01-01T00:00Z", status="cancelled")
    assert order.link_ended
    assert stranger().get(order.get_absolute_url()).status_code == 404
    client = signed_in_as(user)
    assert client.get(f"/orders/{order.number}/").status_code == 200
    client.post("/accounts/sign-out/")
    assert client.get(f"/orders/{order.number}/").status_code == 404


def test_the_page_of_an_order_hides_its_token_from_referrers_but_not_the_origin_of_its_forms(client):
    """With no-referrer a browser sends `Origin: null`, which the check of a form's origin refuses."""
    page = client.get(paid_order().get_absolute_url()).content.decode()
    assert '<meta name="referrer" content="strict-origin">' in page


def test_a_history_of_ten_thousand_orders_is_paged_by_an_index(partners):
    user = account(fresh())
    first = paid_order(user=user)
    own = {"number", "idempotency_key"}
    columns = ", ".join(each.column for each in Order._meta.concrete_fields if each.column not in own)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO orders_order (number, {columns}) SELECT n, {columns}"  # noqa: S608 - its own columns
            " FROM orders_order, generate_series(1, 9999) n WHERE number = %s",
            [first.number],
        )
    client = signed_in_as(user)
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/accounts/orders/", {"page": 500})
    assert page.context["page"].paginator.count == 10_000
    assert len(page.context["page"].object_list) == 20
    assert len(queries) <= 10
    (listing,) = [each["sql"] for each in queries if "ORDER BY" in each["sql"] and '"orders_order"' in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orders_order")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {listing}")
        assert "orders_of_user" in str(cursor.fetchall())


def test_order_again_puts_what_can_be_bought_in_the_cart_and_names_the_rest():
    user = account(fresh())
    order = paid_order("apples", "pears", "plums", "figs", user=user)
    for slug, changes in {
        "apples": {"stock": 9, "price": "3.00"}, "pears": {"stock": 1}, "plums": {"stock": 0},
        "figs": {"stock": 9, "active": False},
    }.items():  # fmt: skip
        Product.objects.filter(slug=slug).update(**changes)
    client = signed_in_as(user)
    answer = client.post(f"/accounts/orders/{order.number}/again/")
    assert answer.url == "/cart/"
    inside = CartItem.objects.filter(cart__user=user).values_list("product__slug", "quantity")
    assert dict(inside) == {"apples": 2, "pears": 1}
    said = " ".join(str(message) for message in get_messages(answer.wsgi_request))
    for words in (
        "Apples: the price is now €3.00, it was €2.40.", "Pears: only 1 left, 1 of 2 added.", "Plums: sold out.",
        "Figs: no longer available.",
    ):  # fmt: skip
        assert words in said
    client.post(f"/accounts/orders/{order.number}/again/")
    assert dict(inside.all()) == {"apples": 4, "pears": 1}
    assert client.get(f"/accounts/orders/{order.number}/again/").url == "/accounts/orders/"


def test_a_saved_address_is_checked_as_in_the_checkout_and_filled_in_there():
    product()
    user = account(fresh())
    client = signed_in_as(user)
    typed = {name: FORM[name] for name in ("name", "address", "city", "postcode", "country")}
    for wrong in ({"name": "\u3164"}, {"address": ""}, {"country": "US"}, {"city": "x" * 101}):
        assert client.post("/accounts/address/", typed | wrong).status_code == 422
    assert not Customer.objects.exists()
    client.post("/accounts/address/", typed)
    put_in_cart(client)
    page = client.get("/checkout/").content.decode()
    for value in (user.email, CUSTOMER.name, CUSTOMER.address, CUSTOMER.city, CUSTOMER.postcode):
        assert f'value="{value}"' in page
    assert '<option value="PL" selected>' in page
    client.post("/accounts/address/", {"remove": "1"})
    assert CUSTOMER.name not in client.get("/checkout/").content.decode()


def test_the_checkout_saves_the_address_if_its_customer_says_so(partners):
    product(stock=50)
    user = account(fresh())
    client = signed_in_as(user)
    bought_by(client)
    assert not Customer.objects.exists()
    bought_by(client, save="on")
    assert Customer.objects.get(user=user).address == CUSTOMER.address
    bought_by(stranger(), save="on")
    assert Customer.objects.count() == 1


@pytest.mark.parametrize("path", ["/accounts/orders/", "/accounts/address/", "/accounts/orders/1/again/"])
def test_the_pages_of_an_account_need_its_sign_in_and_the_forms_a_token(path):
    assert stranger().get(path).url == f"/accounts/login/?next={path}"
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(account(fresh()))
    assert strict.post(path).status_code == 403


def test_a_request_of_an_account_that_was_closed_meanwhile_places_no_order(partners):
    product(stock=10)
    user = account(fresh())
    User.objects.filter(pk=user.pk).update(is_active=False)
    with pytest.raises(refusals.Closed):
        checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-approve", None, user.pk)
    assert not Order.objects.exists()
    assert stock_of() == 10
