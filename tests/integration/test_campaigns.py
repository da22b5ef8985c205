"""Campaigns: each recipient one mail whatever is paused, cancelled, purged or clicked twice, and a body that runs
nothing."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from backroom import Permanent
from backroom.ledger import operations
from backroom.ledger.models import Job
from backroom.ops.models import AuditEntry
from backroom.testing import advance, run_jobs
from lab.faults import people
from lab.scenarios.people import begin_campaign
from marketing import campaign_progress, campaigns, content, subscriptions, tasks
from marketing.campaign_pages import ACTS
from marketing.models import Campaign
from orders.models import Status
from tests.integration import mailbox as smtp
from tests.integration.paid_orders import paid_order
from tests.integration.subscribing import customer, path, plain, subscriber

pytestmark = pytest.mark.django_db
State = Campaign.State
MAIL = "marketing.mail_campaign"


@pytest.fixture
def mailbox(settings):
    settings.CAMPAIGN_SLICE = 3
    settings.BACKROOM_PARTNER_RATES = {}
    with smtp.serving(settings) as mailbox:
        yield mailbox


def draft(**fields: object) -> Campaign:
    return Campaign.objects.create(**{"subject": "Spring", "body": "**Rhubarb** is back"} | fields)


def begun(readers: int = 7, **fields: object) -> tuple[Campaign, list]:
    """A campaign whose first slice is enqueued and not sent."""
    found = [subscriber() for _ in range(readers)]
    campaign = draft(**fields)
    campaigns.schedule(campaign.pk)
    step()
    campaign.refresh_from_db()
    return campaign, found


def step(jobs: int = 1) -> None:
    """Run this number of jobs."""
    with suppress(AssertionError):  # as others are due
        run_jobs(limit=jobs)


def end(campaign: Campaign) -> Campaign:
    """Run all jobs, also those that wait for a time."""
    for _ in range(20):
        run_jobs(raising=False)
        advance(timedelta(hours=1))
    campaign.refresh_from_db()
    return campaign


def receivers(mailbox: smtp.Mailbox) -> list[str]:
    return sorted(mail["To"] for mail in mailbox.mails)


def addresses(readers: list) -> list[str]:
    return sorted(reader.email for reader in readers)


def test_each_subscriber_gets_one_mail_and_the_ledger_never_holds_more_than_a_slice(mailbox):
    readers = [subscriber() for _ in range(7)]
    subscriber(topics=["digest"])
    campaign = draft()
    assert campaigns.schedule(campaign.pk)
    for _ in range(40):  # the slices look again and again
        step()
        advance(timedelta(seconds=1))
        assert Job.objects.filter(task=MAIL, attempts=0).count() <= 3
    assert receivers(mailbox) == addresses(readers)
    campaign.refresh_from_db()
    assert (campaign.state, campaign.recipients, campaign.sent, campaign.after) == ("sent", 7, 7, readers[-1].pk)


def test_a_campaign_of_later_subscribers_reaches_no_earlier_one(mailbox):
    """So the lab's ones reach its own readers only."""
    subscriber()
    campaign, readers = begun(after=subscriber().pk)
    assert end(campaign).recipients == 7
    assert receivers(mailbox) == addresses(readers)


def test_a_campaign_runs_to_its_end_and_its_counts_outlive_the_jobs(mailbox):
    readers = [subscriber() for _ in range(7)]
    campaign = draft()
    campaigns.schedule(campaign.pk)
    end(campaign)
    assert receivers(mailbox) == addresses(readers)
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 7
    Job.objects.all().delete()
    assert campaign_progress.progress(campaign) == (7, 0, 0, 7)


def test_no_recipient_gets_a_second_mail_after_the_purge_of_old_jobs(mailbox):
    campaign, readers = begun()
    end(campaign)
    Job.objects.all().delete()
    for after in (0, readers[2].pk, readers[-1].pk):
        tasks.send_slice.enqueue(campaign.pk, after)
    assert not campaigns.schedule(campaign.pk)
    assert not campaigns.resume(campaign.pk)
    end(campaign)
    assert receivers(mailbox) == addresses(readers)


def test_a_pause_uses_no_attempt_and_a_resume_enqueues_nothing_twice(mailbox):
    campaign, readers = begun()
    assert campaigns.pause(campaign.pk)
    assert not campaigns.pause(campaign.pk)
    run_jobs()
    assert mailbox.mails == []
    jobs = Job.objects.filter(task=MAIL)
    assert {job.attempts for job in jobs} == {0}
    assert jobs.count() == 3
    assert campaigns.resume(campaign.pk)
    assert not campaigns.resume(campaign.pk)
    run_jobs()
    assert len(mailbox.mails) == 3, "at once, without the wait of a snooze"
    end(campaign)
    assert receivers(mailbox) == addresses(readers)
    assert (campaign.state, campaign.sent) == ("sent", 7)


def test_a_campaign_that_is_paused_between_two_slices_goes_on(mailbox):
    campaign, readers = begun()
    step(3)
    campaigns.pause(campaign.pk)
    run_jobs()
    assert len(mailbox.mails) == 3
    campaigns.resume(campaign.pk)
    end(campaign)
    assert receivers(mailbox) == addresses(readers)


def test_a_cancel_in_the_middle_ends_what_has_not_begun(mailbox):
    campaign, _ = begun()
    step()
    assert campaign_progress.progress(campaign) == (1, 0, 0, 7)
    assert campaigns.cancel(campaign.pk)
    assert not campaigns.cancel(campaign.pk)
    assert not campaigns.resume(campaign.pk)
    end(campaign)
    assert len(mailbox.mails) == 1
    assert campaign.ended_at
    assert (campaign.state, campaign.sent, campaign.failed) == ("cancelled", 1, 0)
    assert campaign_progress.progress(campaign) == (1, 0, 0, 7)


@pytest.mark.parametrize(
    "gone", [operations.cancel, lambda keys: Job.objects.filter(key__in=keys).delete()], ids=["cancelled", "purged"]
)
def test_a_resume_or_a_cancel_brings_back_a_slice_whose_job_is_gone(mailbox, gone):
    for act, sent in (campaigns.resume, 7), (campaigns.cancel, 0):
        campaign, _ = begun(readers=7 - subscriptions.wanting("newsletter").count())
        campaigns.pause(campaign.pk)
        gone(keys=[campaigns.slice_key(campaign)])
        assert act(campaign.pk)
        assert (end(campaign).sent, bool(campaign.ended_at)) == (sent, True)


def test_who_leaves_after_the_mail_was_enqueued_gets_none_and_who_comes_gets_one(mailbox):
    campaign, readers = begun()
    Client().post(path(subscriptions.unsubscribe_url(readers[1], "newsletter"), "unsubscribe"))
    late = subscriber()
    end(campaign)
    assert receivers(mailbox) == addresses([*readers[:1], *readers[2:], late])
    assert campaign_progress.progress(campaign) == (7, 1, 0, 8)


def test_a_recipient_whose_mailbox_is_full_holds_back_no_other(mailbox):
    campaign, readers = begun()
    mailbox.full = {readers[0].email}
    for _ in range(20):
        run_jobs(raising=False)
        advance(timedelta(seconds=1))
    assert receivers(mailbox) == addresses(readers[1:])
    assert Job.objects.get(task=MAIL, state="waiting").args["subscription"] == readers[0].pk
    mailbox.full = set()
    assert end(campaign).sent == 7


def test_a_recipient_that_fails_for_good_stops_no_other(mailbox):
    campaign, readers = begun()
    mailbox.rejected = {readers[0].email}
    end(campaign)
    assert receivers(mailbox) == addresses(readers[1:])
    assert campaign_progress.progress(campaign) == (6, 0, 1, 7)
    assert Job.objects.get(state="dead").args == {"campaign": campaign.pk, "subscription": readers[0].pk}


def test_a_time_can_be_moved_and_cancelled(mailbox):
    reader, campaign, now = subscriber(), draft(), timezone.now()
    campaigns.schedule(campaign.pk, now + timedelta(days=3))
    run_jobs()
    campaigns.schedule(campaign.pk, now + timedelta(days=1))
    run_jobs()
    (job,) = Job.objects.all()
    assert now + timedelta(hours=23) < job.run_at < now + timedelta(hours=25)
    assert job.attempts == 0
    assert campaigns.unschedule(campaign.pk)
    advance(timedelta(days=9))
    run_jobs()
    campaign.refresh_from_db()
    assert (campaign.state, mailbox.mails) == ("draft", [])
    campaigns.schedule(campaign.pk)
    run_jobs()
    assert receivers(mailbox) == [reader.email]


def test_a_campaign_for_those_who_bought_a_product_reaches_guests_and_accounts(mailbox):
    user = customer()
    bought = paid_order(email="Guest@example.com").lines.get().product
    paid_order(email="other@example.com", user=user)
    paid_order(email="cancelled@example.com", status=Status.CANCELLED)
    for email in ("guest@example.com", "cancelled@example.com", "stranger@example.com"):
        subscriber(email)
    subscriber(user.email, user=user)
    campaign = draft(bought=bought)
    campaigns.schedule(campaign.pk)
    end(campaign)
    assert receivers(mailbox) == sorted(["guest@example.com", user.email])


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_send_one_campaign(mailbox):
    readers, campaign = [subscriber() for _ in range(4)], draft()

    def click(_: int) -> None:
        campaigns.schedule(campaign.pk)
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(click, range(4)))
    assert Job.objects.count() == 1
    end(campaign)
    assert receivers(mailbox) == addresses(readers)


@pytest.mark.parametrize(
    ("written", "banned"),
    [
        ("<script>alert(1)</script>Hello", "alert"),
        ('<p onclick="alert(1)">Hello</p>', "onclick"),
        ("<a href='javascript:alert(1)'>Hello</a>", "javascript"),
        ('<a href="data:text/html,x">Hello</a>', "data:"),
        ('Hello <img src="https://tracker.example/a.png">', "img"),
        ("![Hello](https://tracker.example/a.png) Hello", "tracker"),
        ("<style>p{display:none}</style>Hello", "display"),
        ('<iframe src="https://example.org"></iframe>Hello', "iframe"),
        ('<form action="https://example.org"><input name="card">Hello</form>', "input"),
        ("</div></body><h1 style='color:red'>Hello</h1>", "color:red"),
    ],
    ids=lambda text: re.sub(r"\W+", " ", text)[:20],
)
def test_a_body_runs_nothing_and_loads_nothing(written, banned):
    assert "Hello" in content.html(written)
    assert banned not in content.html(written)


def test_markdown_becomes_html_and_stays_readable_as_text(settings):
    body = "# Hi & bye\n\n3 < 4, [apples](/products/apples/), <https://example.org/?a=1&b=2> and مرحبا 🍓"
    found = content.html(body)
    assert ">Hi &amp; bye</h1>" in found
    assert f'href="{settings.SITE_URL}/products/apples/"' in found
    assert 'rel="noopener noreferrer"' in found
    assert content.text(body) == body.replace("<h", "h").replace("2>", "2").replace("(/", f"({settings.SITE_URL}/")


def test_a_subject_cannot_break_out_of_its_header(mailbox):
    campaign, _ = begun(subject="Hello\nBcc: victim@example.com")
    with pytest.raises(Permanent):
        run_jobs()
    assert mailbox.mails == []
    chief = staff("add_campaign", "view_campaign")
    form = {"subject": "Hello\nBcc: victim@example.com", "body": "Hello"}
    assert "one line" in chief.post("/admin/marketing/campaign/add/", form).content.decode()
    assert Campaign.objects.get() == campaign


def staff(*permissions: str, email: str = "writer@example.com") -> Client:
    user = User.objects.create_user("-".join(permissions) or "staff", email, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def test_the_page_of_a_campaign_to_many_is_read_less_often():
    chief = staff("view_campaign")
    for recipients, seconds in (7, 2), (200_000, 12):
        campaign = draft(state="sending", recipients=recipients)
        page = chief.get(f"/admin/marketing/campaign/{campaign.pk}/page/").content.decode()
        assert f'hx-trigger="every {seconds}s"' in page


def test_who_lacks_the_permission_can_neither_send_nor_look(mailbox):
    campaign = draft()
    pages = [f"/admin/marketing/campaign/{campaign.pk}/{name}/" for name in ("page", "mail", "act", "test")]
    writer, other = staff("view_campaign", "change_campaign"), staff()
    for act in ACTS:
        assert writer.post(pages[2], {"act": act}).status_code == 403
    assert writer.get(pages[0]).status_code == 200
    assert "Send now" not in writer.get(pages[0]).content.decode()
    assert [other.get(page).status_code for page in pages[:2]] == [403, 403]
    assert [other.post(page).status_code for page in pages[2:]] == [403, 403]
    assert [Client().get(page).status_code for page in pages[:2]] == [302, 302]
    shopper = Client()
    shopper.force_login(customer())
    assert [shopper.get(page).status_code for page in pages[:2]] == [302, 302]
    campaign.refresh_from_db()
    assert campaign.state == "draft"


def test_staff_write_preview_test_and_send_a_campaign(mailbox):
    subscriber("reader@example.com")
    chief = staff("add_campaign", "change_campaign", "view_campaign", "send_campaign")
    added = chief.post("/admin/marketing/campaign/add/", {"subject": "Plums", "body": "*Ripe* <script>x</script>"})
    campaign = Campaign.objects.get()
    page = f"/admin/marketing/campaign/{campaign.pk}/page/"
    assert added.headers["Location"] == page
    frame = chief.get(page.replace("page/", "mail/"))
    assert "<em>Ripe</em>" in frame.content.decode()
    assert "script" not in frame.content.decode()
    assert "default-src 'none'" in frame.headers["Content-Security-Policy"]
    assert frame.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "1 recipient:" in chief.get(page).content.decode()
    for _ in range(2):
        chief.post(page.replace("page/", "test/"), {"email": "victim@example.com"})
        form = {"act": "send", "version": campaigns.version(campaign)}
        assert chief.post(page.replace("page/", "act/"), form).status_code == 302
    run_jobs()
    assert {mail["To"] for mail in mailbox.mails} == {"writer@example.com", "reader@example.com"}
    (sent,) = [mail for mail in mailbox.mails if mail["To"] == "reader@example.com"]
    assert (sent["Subject"], "Ripe" in plain(sent)) == ("Plums", True)
    assert list(AuditEntry.objects.values_list("verb", "what")) == [("sent", f"campaign {campaign.pk}")]
    assert "1 of 1 done: 1 sent" in re.sub(r"\s+", " ", chief.get(page).content.decode())


def test_what_was_changed_since_it_was_read_is_not_sent():
    campaign = draft()
    chief = staff("view_campaign", "send_campaign")
    page = f"/admin/marketing/campaign/{campaign.pk}/page/"
    assert 'value="send"' not in chief.get(page).content.decode()
    shown = chief.get(f"{page}?send")
    assert "Send to 0 recipients" in shown.content.decode()
    form = {"version": shown.context["version"], "at": f"{timezone.now() + timedelta(days=1):%Y-%m-%dT%H:%M}"}
    Campaign.objects.update(body="Another", state="scheduled", send_at=timezone.now() + timedelta(days=2))
    assert "hx-get" in chief.get(page).content.decode()
    assert "hx-get" not in chief.get(f"{page}?send").content.decode(), "the question stays"
    for name in ("send", "schedule"):
        answer = chief.post(page.replace("page/", "act/"), form | {"act": name}, follow=True)
        assert "The campaign was changed" in answer.content.decode()
    assert not Job.objects.exists()


def test_a_campaign_of_the_lab_is_mailed_to_its_own_readers_only(mailbox):
    subscriber()
    campaign, keys = begin_campaign(SimpleNamespace(ledgered=True, show=str), 2)
    assert campaign_progress.progress(end(campaign)) == (2, 0, 0, 2)
    assert {mail["To"].partition("@")[2] for mail in mailbox.mails} == {people.DOMAIN}
    assert len(keys) == len(mailbox.mails) == 2


def test_each_act_says_what_it_did_and_a_cancel_asks_first():
    campaign = draft()
    chief = staff("view_campaign", "send_campaign", "change_campaign")
    page = f"/admin/marketing/campaign/{campaign.pk}/page/"

    def act(name: str) -> str:
        form = {"act": name, "version": campaigns.version(campaign)}
        return chief.post(page.replace("page/", "act/"), form, follow=True).content.decode()

    shown = act("send")
    assert "The campaign is on its way." in shown
    assert "Begins now" in shown
    assert "Send now" not in shown, "its time has come"
    assert 'value="cancel"' not in shown
    asked = chief.get(f"{page}?cancel").content.decode()
    assert 'value="cancel"' in asked
    assert f'hx-get="{page}?cancel"' in asked, "the figures go on, and the question stays"
    assert "The campaign is cancelled." in act("cancel")
    Campaign.objects.all().delete()
    assert "This campaign was deleted." in act("send")


@pytest.mark.parametrize("body", ["<script>alert(1)</script>", "![](https://example.com/a.png)", "---", "&nbsp;"])
def test_a_mail_without_a_word_is_refused_beside_its_field(body):
    chief = staff("add_campaign", "view_campaign")
    answer = chief.post("/admin/marketing/campaign/add/", {"subject": "Spring", "body": body})
    assert "This mail would be empty" in answer.content.decode()
    assert not Campaign.objects.exists()


def test_a_campaign_that_is_sent_cannot_be_changed_or_deleted(mailbox):
    campaign, _ = begun()
    chief = staff("change_campaign", "view_campaign", "delete_campaign")
    change = f"/admin/marketing/campaign/{campaign.pk}/change/"
    assert chief.get(change).headers["Location"].endswith("/page/")
    assert chief.post(change, {"subject": "Other", "body": "Other"}).status_code == 403
    assert chief.post(change.replace("change", "delete"), {"post": "yes"}).status_code == 403
    campaign.refresh_from_db()
    assert campaign.subject == "Spring"


@pytest.mark.parametrize("at", ["", "soon", "2020-01-01T00:00", "9999-01-01T00:00"])
def test_a_time_that_cannot_come_is_refused_beside_its_field(at):
    campaign = draft()
    chief = staff("view_campaign", "send_campaign")
    answer = chief.post(f"/admin/marketing/campaign/{campaign.pk}/act/", {"act": "schedule", "at": at})
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    assert chief.post(f"/admin/marketing/campaign/{campaign.pk}/act/", {"act": "explode"}).status_code == 404
    assert not Job.objects.exists()
