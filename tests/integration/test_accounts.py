"""Accounts against strangers: enumeration, links that are forged, used or old, and the address of another person."""

import re
from datetime import timedelta
from functools import partial

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from accounts import customers
from accounts.models import FormerAddress
from backroom.ledger.models import Job
from tests.integration.accounts import (
    PASSWORD,
    account,
    ask_reset,
    fresh,
    link_in,
    mails_of,
    sign_in,
    sign_up,
    signed_in,
    stranger,
)
from tests.integration.buying import all_at_once
from tests.integration.mailbox import serving

pytestmark = pytest.mark.django_db
OTHER = "nine ripe tomatoes"


@pytest.fixture
def mailbox(settings):
    with serving(settings) as mailbox:
        yield mailbox


def shown(response) -> tuple:
    """All that a stranger sees of an answer, but for what is random or the time."""
    body = re.sub(r'(csrfmiddlewaretoken" value=)"\w+"', r"\1", response.content.decode())
    heads = {name: value for name, value in response.headers.items() if name not in ("X-Request-ID", "Expires")}
    cookies = {name: {**cookie, "expires": ""} for name, cookie in response.cookies.items()}
    return response.status_code, heads, cookies, body


def verified(email: str) -> list[User]:
    return [each.user for each in EmailAddress.objects.filter(email=email, verified=True)]


def test_a_sign_up_is_a_job_of_ids_and_its_link_needs_the_password(mailbox):
    client, email = stranger(), fresh()
    assert sign_up(client, email)["Location"] == "/accounts/email/sent/"
    (job,) = Job.objects.filter(task="accounts.mail_verification")
    assert (job.queue, email in f"{job.args}{job.key}{job.context}") == ("critical", False)
    assert email not in User.objects.get(email=email).username
    (mail,) = mails_of(mailbox)
    assert mail["To"] == email
    link = link_in(mail)
    assert not signed_in(client), "nor by the browser that signed up"
    assert client.post(link, {"password": OTHER}).status_code == 422
    assert verified(email) == []
    assert client.post(link, {"password": PASSWORD})["Location"] == "/accounts/"
    assert signed_in(client)
    assert len(verified(email)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(sign_up, id="sign up"),
        pytest.param(ask_reset, id="reset"),
        pytest.param(lambda client, email: sign_in(client, email, OTHER), id="sign in"),
    ],
)
def test_no_answer_says_whether_an_address_has_an_account(answer):
    known, waiting, staff = fresh(), fresh(), fresh()
    account(known)
    account(waiting, verified=False)
    account(staff, is_staff=True)
    answers = []
    for email in (known, waiting, staff, fresh()):
        response = answer(stranger(), email)
        pages = [response] if response.status_code != 302 else [response, stranger().get(response["Location"])]
        answers.append(repr([shown(page) for page in pages]).replace(email, "it"))
    assert answers == answers[:1] * 4


def test_who_has_an_account_reads_so_in_their_mailbox_only(mailbox):
    email = fresh()
    owner = account(email)
    sign_up(stranger(), email.upper(), OTHER)
    (mail,) = mails_of(mailbox)
    assert (mail["Subject"], mail["X-Person"]) == ("You already have an account", str(owner.pk))
    assert "token" not in mail.get_body(("plain",)).get_content()
    assert sign_in(stranger(), email, OTHER).status_code == 422
    assert sign_in(stranger(), email).status_code == 302


def test_an_international_domain_may_be_typed_in_either_form(mailbox):
    name = fresh().partition("@")[0]
    typed, kept = f"{name}@bücher.example", f"{name}@xn--bcher-kva.example"
    client = stranger()
    sign_up(client, typed)
    (mail,) = mails_of(mailbox)
    assert mail["To"] == kept
    client.post(link_in(mail), {"password": PASSWORD})
    assert [sign_in(stranger(), email).status_code for email in (typed, kept)] == [302, 302]
    ask_reset(stranger(), typed)
    assert mails_of(mailbox)[-1]["To"] == kept
    assert sign_up(stranger(), f"{name}ë@bücher.example").status_code == 422


def test_an_address_without_an_account_gets_no_reset(mailbox):
    staff = fresh()
    account(staff, is_staff=True)
    for email in (fresh(), staff):
        ask_reset(stranger(), email)
    assert mails_of(mailbox) == []
    assert {job.args["address"] for job in Job.objects.filter(task="accounts.mail_reset")} == {0}


def test_a_mail_that_is_asked_for_again_at_once_is_one_job(monkeypatch, mailbox):
    monkeypatch.setattr("accounts.adapter.SLOT", 10**12)  # no five minutes end within the test
    email, new = fresh(), fresh()
    account(email), account(new, verified=False)
    for _ in range(2):
        ask_reset(stranger(), email)
        sign_in(stranger(), new)
    assert sorted(mail["Subject"] for mail in mails_of(mailbox)) == ["Confirm your email", "Reset your password"]


def test_a_reset_that_is_asked_for_again_once_its_link_has_ended_is_mailed(monkeypatch, mailbox):
    monkeypatch.setattr("accounts.adapter.SLOT", 10**12)
    email = fresh()
    account(email)
    ask_reset(stranger(), email)
    (mail,) = mails_of(mailbox)
    assert stranger().post(link_in(mail), {"password1": OTHER}).status_code == 302
    assert [news["Subject"] for news in mails_of(mailbox)] == ["Your password was changed"]
    for _ in range(2):
        ask_reset(stranger(), email)
        assert [mail["Subject"] for mail in mails_of(mailbox)] == ["Reset your password"]
        assert sign_in(stranger(), email, OTHER).status_code == 302


@pytest.mark.parametrize("page", ["verify", "reset"])
@pytest.mark.parametrize("token", ["", "junk", "\0", "1.2-3", "zzzzzzzzzzzzz.x-y", "Mw:1xWgE7:forged", "٣.a-b"])
def test_a_forged_link_is_answered_with_a_sentence(page, token):
    account(fresh())
    for method in (stranger().get, stranger().post):
        response = method(reverse(f"accounts:{page}", query={"token": token}))
        assert (response.status_code, b"This link no longer works" in response.content) == (410, True)


def test_a_link_ends_after_15_minutes(settings, mailbox):
    known, new = fresh(), fresh()
    account(known)
    ask_reset(stranger(), known)
    sign_up(stranger(), new)
    links = [link_in(mail) for mail in mails_of(mailbox)]
    assert [stranger().get(link).status_code for link in links] == [200, 200]
    assert settings.PASSWORD_RESET_TIMEOUT == 900
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert [stranger().get(link).status_code for link in links] == [410, 410]


def test_a_link_works_once(mailbox):
    known, new = fresh(), fresh()
    account(known)
    ask_reset(stranger(), known)
    sign_up(stranger(), new)
    for mail in mails_of(mailbox):
        link, form = link_in(mail), {"password": PASSWORD, "password1": OTHER}
        assert [stranger().post(link, form).status_code for _ in range(2)] == [302, 410]


def test_a_reset_ends_every_session_and_is_reported(mailbox):
    email = fresh()
    account(email)
    here = stranger()
    sign_in(here, email)
    ask_reset(stranger(), email)
    (mail,) = mails_of(mailbox)
    assert stranger().post(link_in(mail), {"password1": "short"}).status_code == 422
    assert signed_in(here)
    assert stranger().post(link_in(mail), {"password1": OTHER})["Location"] == "/accounts/login/"
    assert not signed_in(here)
    assert sign_in(stranger(), email).status_code == 422
    assert sign_in(stranger(), email, OTHER).status_code == 302
    (news,) = mails_of(mailbox)
    assert (news["To"], news["Subject"]) == (email, "Your password was changed")


def test_a_stranger_who_signed_up_with_an_address_never_gets_into_its_owners_account(mailbox):
    email, attacker = fresh(), stranger()
    sign_up(attacker, email, OTHER)
    (planted,) = mails_of(mailbox)
    assert stranger().post(link_in(planted), {"password": PASSWORD}).status_code == 422, "the owner clicks on it"
    owner = stranger()
    sign_up(owner, email)
    sign_up(attacker, email, OTHER)
    own, _ = mails_of(mailbox)
    assert owner.post(link_in(own), {"password": PASSWORD}).status_code == 302
    assert sign_in(attacker, email, OTHER).status_code == 422
    assert not signed_in(attacker)
    assert attacker.post(link_in(planted), {"password": OTHER}).status_code == 410, "with the mailbox, even"
    assert len(verified(email)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_sign_in_holds_no_transaction_while_it_hashes(monkeypatch):
    email, hashed, held = fresh(), User.check_password, []
    account(email)
    monkeypatch.setattr(User, "check_password", lambda *args: held.append(connection.in_atomic_block) or hashed(*args))
    assert sign_in(stranger(), email, "wrong").status_code == 422
    assert sign_in(stranger(), email).status_code == 302
    assert held == [False, False]


@pytest.mark.django_db(transaction=True)
def test_of_two_accounts_that_verify_one_address_at_once_one_has_it(mailbox):
    email, passwords = fresh(), [PASSWORD, OTHER]
    for password in passwords:
        sign_up(stranger(), email, password)
    mails = mails_of(mailbox)
    clicks = [partial(verify, link_in(mail), password) for mail, password in zip(mails, passwords, strict=True)]
    assert sorted(all_at_once(*clicks)) == [302, 410]
    assert len(verified(email)) == 1


def verify(link: str, password: str) -> int:
    return stranger().post(link, {"password": password}).status_code


def test_a_reset_of_an_account_that_a_stranger_made_leaves_nothing_to_them(mailbox):
    email, attacker = fresh(), stranger()
    sign_up(attacker, email, OTHER)
    (planted,) = mails_of(mailbox)
    ask_reset(stranger(), email)
    (mail,) = mails_of(mailbox)
    assert stranger().post(link_in(mail), {"password1": PASSWORD}).status_code == 302
    assert sign_in(attacker, email, OTHER).status_code == 422
    assert attacker.post(link_in(planted), {"password": OTHER}).status_code == 410
    assert sign_in(stranger(), email).status_code == 302


def test_a_reset_of_an_account_whose_address_another_has_verified_since_changes_nothing(mailbox):
    email = fresh()
    late = [account(email, verified=False) for _ in range(2)][1]
    ask_reset(stranger(), email)
    (mail,) = mails_of(mailbox)
    EmailAddress.objects.filter(email=email).exclude(user=late).update(verified=True)
    assert stranger().post(link_in(mail), {"password1": OTHER}).status_code == 410
    assert User.objects.get(pk=late.pk).check_password(PASSWORD)
    assert mails_of(mailbox) == []


def change_address(client: Client, new: str, password: str = PASSWORD):
    return client.post("/accounts/email/", {"action_add": "", "email": new, "oldpassword": password})


def test_an_address_changes_once_the_new_one_is_verified_and_the_old_one_gets_a_mail(mailbox):
    old, new, client = fresh(), fresh(), stranger()
    user = account(old)
    sign_in(client, old)
    assert change_address(client, new, OTHER).status_code == 422
    assert change_address(client, new).status_code == 302
    (mail,) = mails_of(mailbox)
    assert mail["To"] == new
    assert [sign_in(stranger(), email).status_code for email in (old, new)] == [302, 422]
    assert client.get(link_in(mail)).status_code == 200
    assert client.post(link_in(mail)).status_code == 302
    assert [sign_in(stranger(), email).status_code for email in (old, new)] == [422, 302]
    user.refresh_from_db()
    assert user.email == new
    (news,) = mails_of(mailbox)
    assert (news["To"], news["Subject"]) == (old, "Your email was changed")
    assert not FormerAddress.objects.exists()


def test_another_persons_address_is_never_taken(mailbox):
    own, theirs, client = fresh(), fresh(), stranger()
    account(own), account(theirs)
    sign_in(client, own)
    change_address(client, theirs)
    (mail,) = mails_of(mailbox)
    assert (mail["To"], mail["Subject"]) == (theirs, "You already have an account")
    ask_reset(stranger(), theirs)
    (reset,) = mails_of(mailbox)
    assert reset["X-Person"] == str(User.objects.get(email=theirs).pk)


def test_a_stranger_who_changes_to_an_address_cannot_have_its_owner_verify_it(mailbox):
    own, theirs, client = fresh(), fresh(), stranger()
    account(own)
    sign_in(client, own)
    change_address(client, theirs)
    (mail,) = mails_of(mailbox)
    assert stranger().post(link_in(mail), {"password": OTHER}).status_code == 422
    assert stranger().post(link_in(mail)).status_code == 422
    assert verified(theirs) == []
    ask_reset(stranger(), theirs)
    assert mails_of(mailbox) == [], "it has no account yet"


def test_a_change_of_address_that_is_sent_again_or_cancelled_says_so(mailbox):
    old, new, client = fresh(), fresh(), stranger()
    account(old)
    sign_in(client, old)
    change_address(client, new)
    (mail,) = mails_of(mailbox)
    page = client.post("/accounts/email/", {"action_send": "", "email": new}, follow=True)
    assert [str(message) for message in page.context["messages"]] == [
        "A link is on its way, or came within the last five minutes."
    ]
    page = client.post("/accounts/email/", {"action_remove": "", "email": new}, follow=True)
    assert "Your email stays as it is." in page.content.decode()
    assert client.get(link_in(mail)).status_code == 410


def test_staff_do_not_use_the_pages_of_customers(client, settings):
    email = fresh()
    staff = account(email, is_staff=True)
    assert sign_in(stranger(), email).status_code == 422
    assert sign_in(stranger(), staff.username).status_code == 422
    client.force_login(staff)
    pages = ["accounts:overview", "account_login", "account_email", "account_change_password", "account_reset_password"]
    answers = {client.get(reverse(page)).status_code for page in pages}
    assert answers <= {302, 403}, "302: a session that waits for its second factor counts as none"
    settings.STAFF_TOTP = False
    assert "You are signed in as staff" in client.get(reverse("account_login")).content.decode()


def test_a_customers_session_is_never_one_of_staff(settings):
    settings.STAFF_TOTP = False
    email, client = fresh(), stranger()
    user = account(email)
    for name in (email, user.username):
        client.post("/admin/login/", {"username": name, "password": PASSWORD})
        assert not signed_in(client)
    sign_in(client, email)
    assert [client.get(path).status_code for path in ("/ops/", "/admin/")] != [200, 200]
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    assert 200 not in [client.get(path).status_code for path in ("/ops/", "/admin/", "/accounts/")]


def test_a_password_change_ends_the_other_sessions_and_a_sign_in_changes_the_id_of_its_own(mailbox):
    email = fresh()
    account(email)
    here, there = stranger(), stranger()
    session = here.session
    session["a guest's"] = True
    session.save()
    sign_in(here, email), sign_in(there, email)
    assert here.session.session_key != session.session_key
    assert "a guest's" in here.session
    form = {"oldpassword": PASSWORD, "password1": OTHER}
    assert here.post("/accounts/password/", form | {"oldpassword": OTHER}).status_code == 422
    assert here.post("/accounts/password/", form).status_code == 302
    assert (signed_in(here), signed_in(there)) == (True, False)
    assert [mail["Subject"] for mail in mails_of(mailbox)] == ["Your password was changed"]


@pytest.mark.parametrize(
    "outside", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_no_sign_in_or_out_leads_to_another_host(settings, outside):
    settings.ALLOWED_HOSTS = ["testserver", "evil.example"]
    email, client = fresh(), stranger()
    account(email)
    assert sign_in(client, email, next=outside)["Location"] == "/accounts/"
    assert client.get("/accounts/login/", {"next": outside})["Location"] == "/accounts/"
    assert client.post("/accounts/sign-out/", {"next": outside})["Location"] == "/"
    assert sign_in(client, email, next="/cart/")["Location"] == "/cart/"


def test_a_page_of_another_site_does_nothing():
    email, new = fresh(), fresh()
    account(email)
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(email=email), "accounts.backend.CustomerBackend")
    for name in ("account_logout", "account_email", "account_change_password", "accounts:verify", "accounts:reset"):
        assert client.post(reverse(name), {"email": new}).status_code == 403
    for name in ("account_login", "account_signup", "account_reset_password"):
        assert Client(enforce_csrf_checks=True).post(reverse(name), {"email": new}).status_code == 403
    assert client.get("/accounts/sign-out/").status_code == 405
    assert signed_in(client)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "break_", ["\r\nBcc: all@example.com", "\nBcc: all@example.com", "%0aBcc:x", ",all@example.com"]
)
def test_no_address_breaks_out_of_a_mails_header(break_):
    for ask in (sign_up, ask_reset):
        assert ask(stranger(), f"person@example.com{break_}").status_code == 422
    assert not Job.objects.exists()


def test_a_wrong_form_says_what_to_do_beside_the_field():
    page = sign_up(stranger(), "zoë@example.com", "short").content.decode()
    assert "Enter a valid email address" in page
    assert "at least 12 characters" in page
    assert sign_up(stranger(), f"a@{'long.' * 60}example.com").status_code == 422


def test_of_allauths_pages_only_ours_are_there(client):
    for name in ("set_password", "inactive", "reauthenticate", "confirm_email", "reset_password_from_key"):
        with pytest.raises(NoReverseMatch):
            reverse(f"account_{name}")
    for path in ("confirm-email/", "password/set/", "login/code/", "inactive/", "reauthenticate/"):
        assert client.get(f"/accounts/{path}").status_code == 404


def test_an_account_that_is_never_verified_is_deleted_the_next_day():
    kept = [account(fresh()), account(fresh(), verified=False), User.objects.create_user("of-the-admin")]
    gone = account(fresh(), verified=False)
    old = timezone.now() - timedelta(days=2)
    User.objects.filter(pk__in=[kept[0].pk, kept[2].pk, gone.pk]).update(date_joined=old)
    assert customers.delete_unverified() == 1
    assert set(User.objects.all()) == set(kept)
