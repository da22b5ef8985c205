"""The export and the deletion of an account: jobs that its owner watches, and nothing left at the end."""

import json
from datetime import timedelta
from functools import partial

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from accounts import data_requests, erasure, exports
from accounts.models import Customer, DataExport
from backroom.ledger import batches
from backroom.ledger.models import LIVE, Job, State
from backroom.ops.models import AuditEntry
from catalog.models import Product
from marketing import stock_alerts
from marketing.models import StockAlert
from notifications.models import Bounce, Contact, PushSubscription
from orders import privacy
from orders.cart import Cart
from orders.models import Label, Order
from orders.ordering import cancellation, checkout, refusals
from orders.ordering.basket import Wanted
from tests.integration.accounts import PASSWORD, account, fresh, link_in, sign_in, sign_up, signed_in, stranger
from tests.integration.buying import CUSTOMER, all_at_once, attempt, fault, live_keys, product
from tests.integration.carts import put_in_cart
from tests.integration.mailbox import serving
from tests.integration.paid_orders import paid_order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners")]


@pytest.fixture
def mailbox(settings):
    with serving(settings) as mailbox:
        yield mailbox


def signed_in_as(user: User) -> Client:
    client = stranger()
    assert sign_in(client, user.email).status_code == 302
    return client


def exported(client: Client, mailbox) -> str:
    """The path of the link in the mail."""
    assert client.post("/accounts/data/").status_code == 302
    id = DataExport.objects.first().pk
    for kind in ("export", "export-link"):
        assert attempt(f"{kind}:{id}").state == State.SUCCEEDED
    return link_in(mailbox.mails[-1])


def run(*kinds: str) -> None:
    """One attempt at each live job of these kinds."""
    for job in Job.objects.filter(state__in=["ready", "waiting"]).order_by("id"):
        if job.key and job.key.partition(":")[0] in kinds:
            attempt(job.key)


def finish(number: int) -> None:
    while keys := live_keys(number):
        run(*{key.partition(":")[0] for key in keys})


def delete(client: Client, password: str = PASSWORD):
    return client.post("/accounts/data/delete/", {"password": password})


def members_end(user: User) -> None:
    """The dispatcher sees that the members have ended, and the account's job runs."""
    batches.look()
    assert attempt(f"account:{user.pk}").state == State.SUCCEEDED


# The export


def test_an_export_is_made_by_a_job_and_its_link_opens_for_its_person_only(mailbox):
    user = account(fresh())
    paid_order(user=user, email="gift@example.com")
    paid_order(email=user.email.upper())
    client = signed_in_as(user)
    product("pears")
    put_in_cart(client, slug="pears")
    Contact.objects.create(user=user, phone="+353861234567")
    Customer.objects.create(user=user, name="Zofia")
    link = exported(client, mailbox)
    (mail,) = mailbox.mails
    assert (mail["To"], mail["X-Person"]) == (user.email, str(user.pk))
    answer = client.get(link)
    assert answer["Content-Disposition"] == 'attachment; filename="my-data.json"'
    found = json.loads(answer.content)
    assert sorted(order["email"] for order in found["orders"]) == sorted(["gift@example.com", user.email.upper()])
    assert found["contact"][0]["phone"] == "+353861234567"
    assert (found["emails"][0]["email"], found["saved_addresses"][0]["name"]) == (user.email, "Zofia")
    assert PASSWORD not in str(found)
    jobs = str(list(Job.objects.values_list("args", "key", "context", "result")))
    assert user.email not in jobs
    for path in (link[:-2] + "xx", "/accounts/data/export/"):
        assert client.get(path).status_code == 404
    assert signed_in_as(account(fresh())).get(link).status_code == 404
    assert stranger().get(link).url.startswith("/accounts/login/")


def test_an_exports_link_ends_after_a_day_and_its_file_after_two(mailbox, monkeypatch):
    client = signed_in_as(account(fresh()))
    link = exported(client, mailbox)
    monkeypatch.setattr(exports, "LINK_LASTS", timedelta(0))
    assert client.get(link).status_code == 404
    assert exports.purge() == 0
    DataExport.objects.update(created_at=Now() - timedelta(hours=49))
    assert exports.purge() == 1
    assert "Export my data" in client.get("/accounts/data/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_of_two_clicks_at_once_one_export_is_made_and_the_page_shows_how_far_it_is():
    user = account(fresh())
    all_at_once(*[partial(data_requests.export, user)] * 2)
    (export,) = DataExport.objects.all()
    client = signed_in_as(user)
    assert "We are collecting your data" in client.get("/accounts/data/progress/").content.decode()
    attempt(f"export:{export.pk}")
    assert "We are sending you the link" in client.get("/accounts/data/progress/").content.decode()
    Job.objects.filter(key=f"export-link:{export.pk}").update(state=State.DEAD)
    page = client.get("/accounts/data/progress/").content.decode()
    assert "The export failed" in page
    assert "hx-trigger" not in page


# The deletion


def test_a_deletion_needs_the_password_and_then_all_sessions_end_and_no_sign_in_works(mailbox):
    user = account(fresh())
    desk, phone = signed_in_as(user), signed_in_as(user)
    assert delete(desk, "nine ripe tomatoes").status_code == 422
    assert delete(desk, "").status_code == 422
    assert (signed_in(desk), Job.objects.filter(key=f"account:{user.pk}").exists()) == (True, False)
    page = delete(desk)
    assert "/accounts/data/deletion/?token=" in page.url
    assert not signed_in(desk)
    assert not signed_in(phone)
    sign_in(again := stranger(), user.email)
    assert not signed_in(again)
    assert "We are deleting your account" in stranger().get(page.url).content.decode()


def test_a_deleted_account_leaves_nothing_but_the_books_and_its_address_can_sign_up_again(mailbox):
    user = account(email := fresh())
    product(stock=10)
    order = checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-approve", None, user.pk)
    finish(order.number)
    Label.objects.get_or_create(order=order, defaults={"pdf": b"a label"})
    Order.objects.filter(pk=order.pk).update(tracking="BR1", shipped_at=Now())
    client = signed_in_as(user)
    put_in_cart(client)
    Contact.objects.create(user=user, phone="+353861234567")
    PushSubscription.objects.create(user=user, endpoint="https://push.example/1", p256dh="a", auth="b")
    Bounce.objects.create(address=email, reason="no such mailbox")
    Customer.objects.create(user=user, name="Zofia")
    exported(client, mailbox)
    page = delete(client).url
    run("deletion")
    assert mailbox.mails[-1]["Subject"] == "Your account is being deleted"
    assert f"Order {order.number} is being erased." in stranger().get(link_in(mailbox.mails[-1])).content.decode()
    run("erase")
    members_end(user)
    assert "Your account is deleted" in stranger().get(page).content.decode()
    for table in (EmailAddress, Contact, PushSubscription, Bounce, Customer, DataExport, Cart, Label):
        assert not table.objects.exists(), table
    assert not User.objects.filter(pk=user.pk).exists()
    left = Order.objects.get()
    assert (left.user, left.email, left.tracking, left.total) == (None, "", "", order.total)
    assert not [row for row in Session.objects.all() if row.get_decoded().get("_auth_user_id") == str(user.pk)]
    assert email not in str(list(AuditEntry.objects.values()))
    assert sign_up(stranger(), email).status_code == 302
    assert EmailAddress.objects.get().email == email


def test_a_deletion_waits_for_an_order_that_needs_its_customer_and_says_so(mailbox):
    user = account(fresh())
    held = paid_order(user=user, status="on_hold")
    page = delete(signed_in_as(user)).url
    run("deletion", "erase")
    shown = stranger().get(page).content.decode()
    assert f"Order {held.number} is under review. You can cancel it" in shown
    assert User.objects.filter(pk=user.pk, is_active=False, email="").exists()
    cancellation.cancel_unsent(held.number)
    erasing = Job.objects.filter(key=f"erase:{held.number}")
    assert erasing.filter(run_at__lte=Now()).exists(), "the end of the review wakes it"
    run("erase")
    assert f"Order {held.number} still has emails or payments to finish." in stranger().get(page).content.decode()
    assert erasing.filter(run_at__lte=Now() + timedelta(seconds=privacy.SOON)).exists()
    finish(held.number)
    run("erase")
    members_end(user)
    assert not User.objects.filter(pk=user.pk).exists()


def test_a_deletion_goes_on_where_a_partner_or_a_crash_cut_it_off(mailbox):
    user = account(fresh())
    paid_order(user=user, status="cancelled")
    delete(signed_in_as(user))
    fault("warehouse", status=400)
    run("deletion", "erase")
    assert Job.objects.get(key__startswith="erase:").state == State.DEAD
    fault("warehouse")
    data_requests.erase("", User.objects.get(pk=user.pk), "staff")
    run("erase")
    fault("sms", down=True)
    batches.look()
    assert attempt(f"account:{user.pk}").state == State.WAITING
    assert User.objects.filter(pk=user.pk).exists()
    fault("sms")
    assert attempt(f"account:{user.pk}").state == State.SUCCEEDED
    assert not User.objects.filter(pk=user.pk).exists()
    erasure.delete_account(user.pk)  # a worker that died before its finish


def test_a_full_mailbox_does_not_stop_a_deletion(mailbox):
    user = account(fresh())
    delete(signed_in_as(user))
    mailbox.full = {user.email}
    key = f"deletion:{user.pk}"
    assert attempt(key).state == State.WAITING
    Job.objects.filter(key=key).update(attempts=F("max_attempts") - 1)
    assert attempt(key).state == State.SUCCEEDED
    members_end(user)
    assert not User.objects.filter(pk=user.pk).exists()


def test_a_deletion_goes_on_where_its_time_ended_among_many_sessions(mailbox, monkeypatch):
    user = account(fresh())
    for each in (user, account(fresh()), account(fresh())):
        signed_in_as(each)
    data_requests.erase(user.email, user, "staff")
    run("deletion")
    batches.look()
    with monkeypatch.context() as patch:
        patch.setattr("backroom.runtime.resumable.turn", lambda: 0)
        assert attempt(f"account:{user.pk}").state == State.WAITING
    assert Job.objects.get(key=f"account:{user.pk}").cursor
    members_end(user)
    assert not [row for row in Session.objects.all() if row.get_decoded().get("_auth_user_id") == str(user.pk)]


def test_a_closed_account_hears_of_no_product_while_an_order_still_waits(mailbox):
    user = account(fresh())
    paid_order(user=user, status="on_hold")
    Contact.objects.create(user=user, phone="+353861234567", channel="sms")
    sold_out = product("pears", stock=0)
    stock_alerts.ask(user.pk, sold_out)
    alert = StockAlert.objects.get()
    delete(signed_in_as(user))
    assert not StockAlert.objects.exists()
    assert not Contact.objects.exists()
    alert.save(force_insert=True)  # as by a request that began before
    Product.objects.update(stock=1)
    assert stock_alerts.back_in_stock(str(alert.pk), User.objects.get(pk=user.pk)) is None


@pytest.mark.django_db(transaction=True)
def test_an_order_placed_at_the_moment_of_the_deletion_is_erased_with_it_or_not_placed():
    product(stock=100)
    for _ in range(4):
        user = account(fresh())
        placed, _ = all_at_once(
            partial(checkout.place, CUSTOMER, [Wanted("apples", 1)], "demo-approve", None, user.pk),
            partial(data_requests.erase, user.email, user, "itself"),
        )
        orders = set(Order.objects.filter(user=user).values_list("number", flat=True))
        assert orders == (set() if isinstance(placed, refusals.Closed) else {placed.number})
        assert Job.objects.filter(key__in=[f"erase:{number}" for number in orders]).count() == len(orders)


def test_the_same_address_can_have_and_delete_another_account_while_the_first_still_waits(mailbox):
    first = account(fresh())
    email = first.email
    held = paid_order(email=email, status="on_hold")
    delete(signed_in_as(first))
    run("deletion")
    second = account(email)
    delete(signed_in_as(second))
    run("deletion")
    members_end(second)
    assert not User.objects.filter(pk=second.pk).exists()
    assert Job.objects.get(key=f"erase:{held.number}").state in LIVE
    assert User.objects.filter(pk=first.pk).exists()


def test_another_accounts_order_is_never_exported_or_erased_with_an_address_that_was_typed_there(mailbox):
    mine, other = account(fresh()), account(fresh())
    gift = paid_order(user=other, email=mine.email, status="cancelled")
    client = signed_in_as(mine)
    assert "orders" not in json.loads(client.get(exported(client, mailbox)).content)
    delete(client)
    run("deletion", "erase")
    members_end(mine)
    assert Order.objects.get(pk=gift.pk).erased_at is None


def test_staff_export_and_erase_an_account_by_the_command(mailbox, capsys):
    user = account(fresh())
    order = paid_order(user=user, email="gift@example.com", status="cancelled")
    call_command("customer", "export", user.email.upper())
    found = json.loads(capsys.readouterr().out)
    assert [each["email"] for each in found["orders"]] == ["gift@example.com"]
    call_command("customer", "erase", user.email.upper())
    said = capsys.readouterr().out
    assert f"1 order will be erased by erase:{order.number}." in said
    assert f"1 account will be erased by account:{user.pk}." in said
    assert user.email not in said
    run("deletion", "erase")
    members_end(user)
    assert not User.objects.filter(pk=user.pk).exists()
    for verb in ("export", "erase"):
        with pytest.raises(SystemExit):
            call_command("customer", verb, user.email)


def test_a_retention_erasure_leaves_the_accounts_cart():
    user = account(fresh())
    product(stock=10)
    client = signed_in_as(user)
    put_in_cart(client)
    order = paid_order(user=user, status="cancelled", cart=Cart.objects.get(user=user))
    data_requests.erase(order.email, None, "staff")
    run("erase")
    assert Order.objects.get().user is None
    assert Cart.objects.get(user=user).pieces == 1
    assert str(order.number) not in client.get("/accounts/orders/").content.decode()


@pytest.mark.parametrize("path", ["/accounts/data/", "/accounts/data/delete/"])
def test_the_page_needs_a_sign_in_of_no_staff_and_a_token_of_its_form(path, admin_client):
    assert stranger().get(path).url == f"/accounts/login/?next={path}"
    assert admin_client.get(path).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(account(fresh()))
    assert strict.post(path, {"password": PASSWORD}).status_code == 403
    assert stranger().get("/accounts/data/deletion/?token=forged").status_code == 404


def test_the_link_to_a_deletion_ends(mailbox, monkeypatch):
    page = delete(signed_in_as(account(fresh()))).url
    assert stranger().get(page).status_code == 200
    monkeypatch.setattr(erasure, "LASTS", timedelta(0))
    assert stranger().get(page).status_code == 404
