"""The cart of an account: it follows the person, takes a guest's pieces along, and leaves none behind."""

from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db.models.functions import Now
from django.test import Client

from orders.cart import Cart, CartItem
from orders.models import Order
from orders.ordering import settlement
from orders.ordering.checkout import take_from_cart
from shop.tasks import clear_sessions
from tests.integration.accounts import account, fresh, sign_in, stranger
from tests.integration.buying import FORM, all_at_once, attempt, buy, fault, product
from tests.integration.carts import hidden_in, in_cart, put_in_cart

pytestmark = pytest.mark.django_db


def of(user: User) -> dict[str, int]:
    return dict(CartItem.objects.filter(cart__user=user).values_list("product__slug", "quantity"))


def signed_in_as(user: User) -> Client:
    client = stranger()
    assert sign_in(client, user.email).status_code == 302
    return client


def test_a_cart_follows_its_person_and_stays_behind_for_nobody():
    product(stock=50)
    user = account(fresh())
    desk, phone = signed_in_as(user), signed_in_as(user)
    put_in_cart(desk, 2)
    put_in_cart(phone, 1)
    assert of(user) == {"apples": 3}
    desk.post("/accounts/sign-out/")
    assert b"Your cart is empty." in desk.get("/cart/").content
    put_in_cart(desk, 1)  # the next person at this desk
    assert (of(user), in_cart(desk)) == ({"apples": 3}, {"apples": 1})
    assert Cart.objects.count() == 2


def test_a_sign_in_takes_the_guests_pieces_along_within_the_carts_limits():
    for slug in ("apples", "pears", "plums"):
        product(slug, stock=300)
    user = account(fresh())
    put_in_cart(signed_in_as(user), 60)
    guest = stranger()
    for slug in ("apples", "pears", "plums"):
        put_in_cart(guest, 60, slug)
    said = [str(message) for message in get_messages(sign_in(guest, user.email).wsgi_request)]
    assert of(user) == {"apples": 99, "pears": 60, "plums": 41}
    assert [each.partition(":")[0] for each in said if "does not hold" in each] == ["Apples", "Plums"]
    assert in_cart(guest) == {}


@pytest.mark.django_db(transaction=True)
def test_of_sign_ins_and_adds_at_once_no_piece_is_lost_and_none_is_doubled():
    apples = product(stock=300)
    for _ in range(3):
        user, guest = account(fresh()), stranger()
        put_in_cart(guest, 2)
        tabs = [stranger(), stranger()]
        for tab in tabs:
            tab.cookies = guest.cookies.copy()
        under_way = [Cart.objects.get(user=None, merged_into=None) for _ in range(3)]  # requests that read the cart
        all_at_once(
            *(partial(sign_in, tab, user.email) for tab in tabs), *(partial(cart.add, apples, 1) for cart in under_way)
        )
        assert of(user) == {"apples": 5}
        assert not CartItem.objects.exclude(cart__user=user).exists()
        CartItem.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_two_devices_that_fill_a_new_cart_at_once_fill_one():
    product(stock=50)
    for _ in range(3):
        user = account(fresh())
        devices = [signed_in_as(user) for _ in range(3)]
        all_at_once(*(partial(put_in_cart, device, 1) for device in devices))
        assert of(user) == {"apples": 3}


def test_an_order_of_a_guest_who_signs_in_meanwhile_takes_its_pieces_or_gives_them_back(partners):
    product(stock=50)
    user, guest = account(fresh()), stranger()
    put_in_cart(guest, 3)
    cart = Cart.objects.get()
    order = buy(quantity=2)  # the guest's request, at the bank
    sign_in(guest, user.email)
    take_from_cart(order, cart)
    assert of(user) == {"apples": 1}
    Order.objects.update(status="placed", paid_at=None)
    settlement.cancel(order.number)
    assert of(user) == {"apples": 3}


def test_a_double_click_around_a_sign_in_is_one_order(partners):
    product(stock=50)
    user, guest = account(fresh()), stranger()
    put_in_cart(guest, 1)
    form = FORM | hidden_in(guest.get("/checkout/", {"country": "PL"}))
    first = guest.post("/checkout/", form)
    put_in_cart(guest, 1)
    sign_in(guest, user.email)
    assert guest.post("/checkout/", form).url == first.url
    assert (Order.objects.count(), of(user)) == (1, {"apples": 1})


def test_an_accounts_cart_is_kept_and_its_unpaid_order_gives_it_back(partners):
    product(stock=50)
    user = account(fresh())
    client = signed_in_as(user)
    put_in_cart(client, 2)
    fault("payments", status=500)
    client.post("/checkout/", FORM | hidden_in(client.get("/checkout/", {"country": "PL"})))
    assert of(user) == {}
    fault("payments")
    attempt(f"settle:{Order.objects.get().number}")
    Cart.objects.update(changed_at=Now() - timedelta(days=15))
    clear_sessions()
    assert of(user) == {"apples": 2}
