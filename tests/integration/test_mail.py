"""Mail over real SMTP: its content, and which failures are retried."""

import os
import time
from contextlib import suppress

import pytest
from django.core.exceptions import ValidationError

from backroom import Permanent
from backroom.outbound import breaker
from backroom.outbound.errors import Away
from notifications import addresses, mail
from stack import ports
from tests.integration import mailbox as smtp
from tests.integration.buying import fault


@pytest.fixture
def mailbox(settings, tmp_path):
    """A mail server, and the mail templates `hello`."""
    for ending in ("txt", "html"):
        (tmp_path / f"hello.{ending}").write_text(
            f'{{% extends "notifications/mail.{ending}" %}}{{% block content %}}Hello {{{{ name }}}}!{{% endblock %}}'
        )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    with smtp.serving(settings) as mailbox:
        yield mailbox


def send(to: str = "customer@example.com", subject: str = "Hello", name: str = "you", **options) -> None:
    mail.send("hello:1001", to, subject, "hello", {"name": name}, **options)


def test_a_mail_arrives_as_text_and_html_with_its_attachment(mailbox):
    send(subject="Grüße · Łódź", attachments=[("a.pdf", b"%PDF-1.7", "application/pdf")])
    (message,) = mailbox.mails
    assert message["To"] == "customer@example.com"
    assert message["From"] == "Backroom Greengrocer <shop@backroom.example>"
    assert message["Subject"] == "Grüße · Łódź"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "Hello you!" in message.get_body(("plain",)).get_content()
    assert "Hello you!" in message.get_body(("html",)).get_content()
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "a.pdf"
    assert attachment.get_content() == b"%PDF-1.7"


def test_the_message_id_is_made_of_the_key_so_that_a_second_mail_is_known_for_one(mailbox):
    send()
    send()
    assert [message["Message-ID"] for message in mailbox.mails] == ["<hello.1001@backroom.example>"] * 2


def test_a_name_is_escaped_in_html_and_left_as_it_is_in_text(mailbox):
    send(name="<b>O'Clock & Søn</b>")
    (message,) = mailbox.mails
    assert "<b>O'Clock & Søn</b>" in message.get_body(("plain",)).get_content()
    assert "&lt;b&gt;O&#x27;Clock &amp; Søn&lt;/b&gt;" in message.get_body(("html",)).get_content()


INTERNATIONAL = "\N{CARROT} \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u4f60\u597d Łąka"


def test_emoji_and_writing_from_right_to_left_arrive_intact(mailbox):
    send(subject=f"{INTERNATIONAL} 1", name=f"{INTERNATIONAL} 2", to=f"{INTERNATIONAL} 3 <zoe@example.com>")
    (message,) = mailbox.mails
    assert message["Subject"] == f"{INTERNATIONAL} 1"
    for kind in ("plain", "html"):
        assert f"Hello {INTERNATIONAL} 2!" in message.get_body((kind,)).get_content()
    (to,) = message["To"].addresses
    assert (to.display_name, to.addr_spec) == (f"{INTERNATIONAL} 3", "zoe@example.com")


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("Zoe@bücher.example", "Zoe@xn--bcher-kva.example"),
        ("zoe@faß.de", "zoe@xn--fa-hia.de"),  # of IDNA 2008; in that of 2003, another company's
        ("zoe@пример.рф", "zoe@xn--e1afmkfd.xn--p1ai"),
    ],
)
def test_a_mail_to_an_international_domain_goes_to_its_ascii_form(mailbox, typed, sent):
    address = addresses.in_ascii(typed)
    addresses.deliverable(address)
    send(to=address)
    (message,) = mailbox.mails
    assert message["To"] == sent


@pytest.mark.parametrize("typed", ["zoë@example.com", "zoe@\u202ebüd.de", "zoe@bü_cher.de", "zoe@" + "ü" * 300 + ".de"])
def test_another_international_address_is_refused_with_a_sentence(typed):
    with pytest.raises(ValidationError, match="Enter a complete email address"):
        addresses.deliverable(addresses.in_ascii(typed))


def test_every_mail_carries_the_person_by_whom_the_mail_server_forgets_it(mailbox):
    send(person="17")
    send()
    assert [message["X-Person"] for message in mailbox.mails] == ["17", None]


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_5xx_reply_is_permanent(mailbox, step):
    mailbox.answers[step] = "550 5.1.1 no customer@example.com here"
    with pytest.raises(Permanent, match=r"550 5\.1\.1 no the recipient here") as error:
        send()
    mailbox.answers[step] = "550 <Customer@EXAMPLE.com>: there is no customer, ask the customers' desk"
    with pytest.raises(Permanent, match=r"<the recipient>: there is no the recipient, ask the customers' desk"):
        send()
    assert error.value.__cause__ is None  # its text would put the address into the ledger
    assert not mailbox.mails


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_4xx_reply_is_retried(mailbox, step):
    mailbox.answers[step] = "451 4.7.1 greylisted"
    with pytest.raises(mail.RecipientDeferred if step == "RCPT" else mail.MailUnavailable, match="451"):
        send()
    del mailbox.answers[step]
    send()
    assert len(mailbox.mails) == 1


def _open_after_21_customers(mailbox, step: str, answer: str) -> bool:
    mailbox.answers[step] = answer
    for number in range(21):
        with suppress(mail.RecipientDeferred, mail.MailUnavailable, Permanent, Away):
            mail.send(f"hello:{number}", f"customer{number}@example.com", "Hello", "hello", {}, patience=mail.URGENT)
    return next(one["state"] for one in breaker.states() if one["partner"] == "mail") != "closed"


@pytest.mark.parametrize("answer", ["450 4.2.0 greylisted", "452 4.2.2 mailbox full", "550 5.1.1 no such user"])
def test_what_a_server_says_about_recipients_delays_no_other_customer(mailbox, answer):
    assert not _open_after_21_customers(mailbox, "RCPT", answer)
    mailbox.answers.clear()
    send()
    assert len(mailbox.mails) == 1


def test_what_a_server_says_about_itself_opens_its_breaker(mailbox):
    assert _open_after_21_customers(mailbox, "RCPT", "421 4.3.2 shutting down")
    breaker.reset()
    assert _open_after_21_customers(mailbox, "DATA", "452 4.3.1 the disk is full")


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_hangs_or_drops_the_connection_is_retried(mailbox, settings, step):
    settings.EMAIL_TIMEOUT = 0.5
    mailbox.hangs_at = step
    with pytest.raises(mail.MailUnavailable):
        send()
    mailbox.hangs_at, mailbox.drops_at = "", step
    with pytest.raises(mail.MailUnavailable):
        send()


def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for(mailbox, partners, settings):
    settings.EMAIL_PORT = int(os.environ["SMTP_PORT"])  # the partners' server
    send()
    settings.EMAIL_TIMEOUT = 0.5
    fault("mail", trickle_ms=100)
    began = time.monotonic()
    with pytest.raises(Away):
        send()
    assert time.monotonic() - began < 3


def test_an_unreachable_server_uses_no_attempt(mailbox, settings):
    settings.EMAIL_PORT = ports.free(["SMTP_PORT"])["SMTP_PORT"]
    with pytest.raises(Away, match="ConnectionRefusedError"):
        send()


def test_a_rejected_login_uses_no_attempt(mailbox, settings):
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "shop", "wrong"
    with pytest.raises(Away, match="SMTPAuthenticationError"):
        send()


@pytest.mark.parametrize("failure", ["hangs_at", "drops_at"])
def test_trouble_after_the_mail_was_accepted_does_not_send_it_again(mailbox, settings, failure):
    settings.EMAIL_TIMEOUT = 1
    setattr(mailbox, failure, "QUIT")
    send()
    assert len(mailbox.mails) == 1


def test_a_server_that_is_slow_to_say_goodbye_does_not_prolong_the_instant_in_which_a_mail_may_go_twice(mailbox):
    mailbox.hangs_at = "QUIT"
    begin = time.monotonic()
    send()
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    "to",
    [
        "customer@example.com\nBcc: everybody@example.com",
        "customer@example.com\r\nX-Evil: 1",
        "customer@example.com, everybody@example.com",
        "",
    ],
)
def test_an_address_that_breaks_out_of_its_header_is_permanent(mailbox, to):
    with pytest.raises(Permanent):
        send(to=to)
    assert not mailbox.mails


def test_a_subject_that_breaks_out_of_its_header_is_permanent(mailbox):
    with pytest.raises(Permanent):
        send(subject="Hello\nBcc: everybody@example.com")
    assert not mailbox.mails


def test_a_mail_that_a_person_waits_for_is_sent_before_a_campaigns(mailbox, settings):
    settings.BACKROOM_PARTNER_RATES = {"mail": 2.0}
    for _ in range(30):  # one or two pass, the others get slots in the next 15 seconds
        with suppress(Away):
            send()
    sent = len(mailbox.mails)
    assert sent < 10
    send(patience=mail.URGENT)
    assert len(mailbox.mails) == sent + 1
