"""Subscribing and unsubscribing: the mail asks, links hold, strangers see nothing, and nothing is sent unasked."""

import itertools
from datetime import timedelta

import pytest
from allauth.account import signals
from allauth.account.models import EmailAddress
from django.core import signing
from django.test import Client
from django.utils import timezone

from accounts import personal_data
from backroom.ledger.models import Job
from backroom.testing import run_jobs
from marketing import bulk_mail, subscriptions
from marketing.models import Subscription
from marketing.personal_data import erase_unconfirmed
from notifications.models import Bounce, Contact
from tests.integration import mailbox as smtp
from tests.integration.staff import text
from tests.integration.subscribing import customer, path, plain, signed_in, subscriber

pytestmark = pytest.mark.django_db
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _unlimited(settings):
    settings.BACKROOM_LIMITS = {}


@pytest.fixture
def mailbox(settings):
    with smtp.serving(settings) as mailbox:
        yield mailbox


def ask(client: Client, email: str, *topics: str):
    return client.post("/newsletter/", {"email": email, "topics": topics or ("newsletter",)})


def link(mailbox: smtp.Mailbox, email: str, *topics: str) -> str:
    """Ask, and open the mail."""
    ask(Client(), email, *topics)
    run_jobs()
    return path(plain(mailbox.mails[-1]), "confirm")


def test_nothing_is_sent_before_the_owner_of_the_address_has_confirmed(mailbox):
    there = link(mailbox, "New@example.com")
    subscription = Subscription.objects.get(email="new@example.com")
    assert mailbox.mails[0]["To"] == "new@example.com"
    assert subscriptions.reader(subscription.pk, "newsletter") is None
    client = Client(enforce_csrf_checks=True)
    page = client.get(there)  # as a scanner does
    assert page.status_code == 200
    assert subscriptions.reader(subscription.pk, "newsletter") is None
    form = {"csrfmiddlewaretoken": page.context["csrf_token"]}
    assert "You are subscribed" in client.post(there, form).content.decode()
    assert subscriptions.reader(subscription.pk, "newsletter") == subscription
    assert subscriptions.reader(subscription.pk, "digest") is None


def test_two_confirmations_of_an_address_both_work(mailbox):
    first, second = (link(mailbox, "two@example.com", topic) for topic in ("newsletter", "digest"))
    page = Client().get(second).content.decode()
    assert "two@example.com" in page
    assert "the daily digest" in page
    assert [Client().post(each).status_code for each in (second, first, first)] == [200, 200, 200]
    mine = Subscription.objects.get()
    assert (mine.newsletter, mine.digest) == (True, True)


@pytest.mark.parametrize("leave", ["link", "account"])
def test_no_confirmation_brings_back_what_was_left(mailbox, leave):
    user = customer("once@example.com")
    there = link(mailbox, "once@example.com")
    assert Client().post(there).status_code == 200
    if leave == "link":
        Client().post(path(subscriptions.unsubscribe_url(Subscription.objects.get(), "newsletter"), "unsubscribe"))
    else:
        signed_in(user).post("/accounts/subscriptions/", {"digest": "on"})
    assert Client().get(there).status_code == Client().post(there).status_code == 410
    assert not Subscription.objects.get().newsletter


def test_a_confirmation_ends_in_time(mailbox, monkeypatch):
    there = link(mailbox, "late@example.com")
    monkeypatch.setattr(subscriptions, "HOURS", -1)
    assert Client().get(there).status_code == Client().post(there).status_code == 410
    assert subscriptions.reader(Subscription.objects.get().pk, "newsletter") is None


@pytest.mark.parametrize("token", ["", "x", "1:1:1", "of another purpose"])
def test_a_forged_link_changes_nothing(token):
    mine = subscriber()
    if token == "of another purpose":
        token = signing.dumps([mine.pk, "digest", mine.confirmed_at.isoformat()], salt="another purpose")
    assert Client().post("/newsletter/confirm/", QUERY_STRING=f"token={token}").status_code == 410
    assert Client().post("/newsletter/unsubscribe/newsletter/", QUERY_STRING=f"token={token}").status_code == 404
    other = signing.Signer(salt=subscriptions.CONFIRM).sign(str(mine.pk))
    assert Client().post("/newsletter/unsubscribe/all/", QUERY_STRING=f"token={other}").status_code == 404
    assert subscriptions.reader(mine.pk, "newsletter")


def test_the_answer_does_not_say_whether_an_address_is_known():
    known = subscriber().email
    customer("account@example.com")
    pages = set()
    for email in (known, "account@example.com", "stranger@example.com"):
        client = Client()
        assert ask(client, email).status_code == 302
        pages.add(text(client.get("/newsletter/")))
    assert len(pages) == 1
    assert Job.objects.filter(task=subscriptions.MAIL_CONFIRMATION).count() == 3


def test_an_address_gets_one_confirmation_in_ten_minutes_and_its_owner_loses_no_topic(mailbox):
    mine = subscriber(topics=["digest"])
    slots = subscriptions.PAUSE
    for _ in range(3):
        ask(Client(), mine.email)
    run_jobs()
    assert 1 <= len(mailbox.mails) <= 2, f"one, or two around the end of {slots} seconds"
    assert subscriptions.reader(mine.pk, "digest")
    assert subscriptions.reader(mine.pk, "newsletter") is None
    Client().post(path(plain(mailbox.mails[-1]), "confirm"))
    assert subscriptions.reader(mine.pk, "digest")
    assert subscriptions.reader(mine.pk, "newsletter")


def test_one_client_and_one_address_are_limited(settings):
    settings.BACKROOM_LIMITS = {"newsletter_by_client": (2, 3600), "newsletter_by_email": (2, 3600)}
    number = next(_numbers)
    client = Client(REMOTE_ADDR=f"198.51.100.{number}")
    answers = [ask(client, f"limited-{number}-{each}@example.com").status_code for each in range(3)]
    assert answers == [302, 302, 429]
    clients = [Client(REMOTE_ADDR=f"198.51.100.{100 + number + each}") for each in range(3)]
    assert [ask(each, f"limited-{number}@example.com").status_code for each in clients] == [302, 302, 429]


@pytest.mark.parametrize("email", ["", "no address", "a@b", "ä@example.com", "a@example.com\nBcc: b@example.com"])
def test_an_address_that_no_mail_reaches_is_refused_with_a_sentence(email):
    answer = ask(Client(), email)
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    assert not Job.objects.exists()


def test_a_mailbox_unsubscribes_with_one_click_and_a_scanner_does_not(mailbox):
    mine = subscriber(topics=["newsletter", "digest"])
    context = {"subject": "Hello", "html": "Hello", "text": "Hello"}
    bulk_mail.send("campaign:1-1", mine, "newsletter", "Hello", "marketing/mail/campaign", context)
    (mail,) = mailbox.mails
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["X-Person"] == f"s{mine.pk}"
    there = path(mail["List-Unsubscribe"], "unsubscribe")
    assert there == path(plain(mail), "unsubscribe")
    mailer = Client(enforce_csrf_checks=True)
    assert mailer.get(there).status_code == 200
    assert subscriptions.reader(mine.pk, "newsletter")
    for _ in range(2):
        answer = mailer.post(there, {"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, answer.cookies) == (200, {})
    assert subscriptions.reader(mine.pk, "newsletter") is None
    assert subscriptions.reader(mine.pk, "digest")
    assert mailer.post(there, {"all": "1"}).status_code == 200
    assert subscriptions.reader(mine.pk, "digest") is None


def test_a_link_of_an_address_that_is_long_gone_still_answers_200():
    mine = subscriber()
    there = path(subscriptions.unsubscribe_url(mine, "newsletter"), "unsubscribe")
    mine.delete()
    assert Client().get(there).status_code == Client().post(there).status_code == 200
    assert Client().post(there.replace("newsletter/?", "nothing/?")).status_code == 404


@pytest.mark.parametrize(
    ("topic", "asks", "says", "again"),
    [
        ("newsletter", "Stop the newsletter?", "We no longer send you the newsletter.", "/newsletter/"),
        ("reminders", "Stop reminders?", "We no longer send you reminders.", "/accounts/subscriptions/"),
        ("all", "Stop all mail but about your orders?", "We send you mail about your orders only.", "/newsletter/"),
    ],
)
def test_the_page_of_a_leaving_says_what_ends_and_leads_back(topic, asks, says, again):
    there = path(subscriptions.unsubscribe_url(subscriber(), topic), "unsubscribe")
    assert asks in Client().get(there).content.decode()
    left = Client().post(there).content.decode()
    assert says in left
    assert f'href="{again}">Subscribe again' in left


def test_a_customer_finds_the_own_address_and_page_at_the_newsletter():
    user = customer()
    page = signed_in(user).get("/newsletter/").content.decode()
    assert f'value="{user.email}"' in page
    assert 'href="/accounts/subscriptions/"' in page


def test_who_has_left_may_come_back(mailbox):
    mine = subscriber()
    Client().post(path(subscriptions.unsubscribe_url(mine, "newsletter"), "unsubscribe"))
    assert Client().post(link(mailbox, mine.email)).status_code == 200
    assert subscriptions.reader(mine.pk, "newsletter") == mine


def test_a_bounce_stops_bulk_mail_until_the_address_confirms_again(mailbox):
    mine = subscriber()
    Bounce.objects.create(address=mine.email, reason="550 no such user")
    assert subscriptions.reader(mine.pk, "newsletter") is None
    assert Client().post(link(mailbox, mine.email)).status_code == 200
    assert subscriptions.reader(mine.pk, "newsletter") == mine


def test_a_customer_changes_topics_at_once():
    user = customer()
    Contact.objects.create(user=user, time_zone="Asia/Tokyo")
    client = signed_in(user)
    assert client.get("/accounts/subscriptions/").status_code == 200
    assert client.post("/accounts/subscriptions/", {"digest": "on", "reminders": "on"}).status_code == 302
    mine = subscriptions.of_user(user, "digest")
    assert mine == subscriptions.of_user(user, "reminders")
    assert (mine.email, mine.time_zone) == (user.email, "Asia/Tokyo")
    assert subscriptions.of_user(user, "newsletter") is None
    Contact.objects.get(user=user).delete()
    Contact.objects.create(user=user, time_zone="Pacific/Auckland")
    assert subscriptions.of_user(user, "digest").time_zone == "Pacific/Auckland"
    client.post("/accounts/subscriptions/", {})
    assert subscriptions.of_user(user, "digest") is None
    assert not Job.objects.exists()


def test_the_page_of_an_account_is_for_a_signed_in_customer_with_a_verified_address():
    assert Client().get("/accounts/subscriptions/").headers["Location"].startswith("/accounts/login/")
    unverified = signed_in(customer(verified=False))
    assert unverified.post("/accounts/subscriptions/", {"newsletter": "on"}).status_code == 302
    assert not Subscription.objects.exists()


def test_an_address_is_not_subscribed_by_another_account(mailbox):
    subscriptions.subscribe("victim@example.com", ["newsletter"], customer())
    assert subscriptions.reader(Subscription.objects.get().pk, "newsletter") is None
    user = customer()
    subscriptions.subscribe(user.email, ["newsletter"], user)
    assert subscriptions.of_user(user, "newsletter")


def test_a_subscription_follows_its_account_to_another_address_which_gets_no_mail_again():
    user = customer()
    today = timezone.now().date()
    guest = subscriber("next@example.com", digest_on=today)
    subscriber(user.email, ["digest"], digest_on=today - timedelta(days=1))
    signals.email_confirmed.send(EmailAddress, request=None, email_address=EmailAddress.objects.get(user=user))
    to = EmailAddress.objects.create(user=user, email="Next@example.com", verified=True)
    signals.email_confirmed.send(EmailAddress, request=None, email_address=to)
    signals.email_changed.send(EmailAddress, request=None, user=user, from_email_address=None, to_email_address=to)
    assert subscriptions.of_user(user, "digest").email == "next@example.com"
    assert list(Subscription.objects.values_list("pk", "newsletter", "digest_on")) == [(guest.pk, False, today)]


def test_an_export_holds_the_subscriptions_and_an_erasure_ends_them(partners):
    user = customer()
    mine = subscriber(user.email, user=user)
    assert personal_data.export(user.email.upper(), user)["subscriptions"][0]["newsletter"] is True
    kept = {holder.kind: calls for holder, calls in personal_data.erase(user.email.upper(), user)}
    assert [call.key for call in kept["forget-reader"]] == [f"forget-reader:{mine.pk}"]
    assert "subscriptions" not in (personal_data.export(user.email, user) or {})


def test_an_address_that_was_never_confirmed_is_erased_after_a_week(mailbox):
    confirmed = subscriber()
    ask(Client(), "maybe@example.com")
    assert erase_unconfirmed() == 0
    Subscription.objects.update(created_at=timezone.now() - timedelta(days=8))
    assert erase_unconfirmed() == 1
    assert list(Subscription.objects.all()) == [confirmed]
    run_jobs(raising=False)
    assert mailbox.mails == []
