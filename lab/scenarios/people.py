"""Messages to people: a campaign beside a person who waits, one that is stopped in the middle, and an SMS provider that
is down."""

import time
from signal import SIGKILL

import urllib3
from django.db.models import F

from backroom.ledger import operations
from lab.checks import Check, complete
from lab.context import Context, NotSeen
from lab.demo_stack import DemoStack
from lab.faults import people
from lab.faults.naive import pending
from lab.faults.stack import send
from marketing import campaigns, tasks
from marketing.models import Campaign
from notifications.kinds import named
from notifications.models import Channel, Notice
from orders.models import Order

LARGE, SMALL = 2000, 100  # mails
URGENT_WITHIN = 3  # seconds
SUBJECT = "The lab: everything green"
BODY = "Everything green is in season. **This is a mail of an experiment.**"


def begin_campaign(context: Context, readers: int) -> tuple[Campaign, list[str]]:
    """Send a campaign to new readers only, as the running shop does. Returns it, and the keys of their mails."""
    ids = people.subscribe(readers)
    campaign = Campaign.objects.create(subject=SUBJECT, body=BODY, after=min(ids) - 1)
    if context.ledgered:
        campaigns.schedule(campaign.pk)
    else:
        Campaign.objects.filter(pk=campaign.pk).update(state=Campaign.State.SCHEDULED)
        context.enqueue(tasks.send_slice, campaign.pk, campaign.after)
    context.show(f"A campaign to {readers} readers begins.")
    return campaign, [f"campaign:{campaign.pk}-{id}" for id in ids]


def flood(context: Context) -> Check:
    """A campaign, then a reset, for which a person waits."""
    sent = context.stack.requests("mail")
    begin_campaign(context, LARGE)
    context.wait(lambda: context.stack.requests("mail") > sent, "the first mail of the campaign")
    address, begin = people.join(), time.monotonic()
    key = people.forget_password(context.stack.site, address)
    context.wait(lambda: context.stack.effects(key), "the mail of the reset", 120)
    seconds, left = time.monotonic() - begin, LARGE - (context.stack.requests("mail") - sent) + 1
    context.show(f"The mail of the reset arrived after {seconds:.1f} s. {left} mails of the campaign are not sent yet.")
    if seconds > URGENT_WITHIN or left < LARGE / 4:
        raise NotSeen("the mail of the reset waited for the campaign")
    return lambda: f"The mail of the reset took {seconds:.1f} s, ahead of {left} mails of the campaign."


def stopped_campaign(context: Context) -> Check:
    """Pause a campaign, kill the worker that sends it, and resume it; without a ledger only the kill."""
    worker, sent = context.stack.name("worker-bulk"), context.stack.requests("mail")
    campaign, keys = begin_campaign(context, SMALL)
    context.wait(lambda: context.stack.requests("mail") - sent >= SMALL / 5, "the first fifth of the mails")
    if context.ledgered:
        campaigns.pause(campaign.pk)
        context.rest(2)
        count = context.stack.requests("mail") - sent
        context.show(f"Paused: {count} mails are sent.")
        context.rest(2)
        if context.stack.requests("mail") - sent > count:
            raise NotSeen("a paused campaign went on")
    send(SIGKILL, context.stack.family(worker))
    context.show("SIGKILL to the worker that sends the mails. It restarts.")
    if not context.ledgered:
        return lost_mails(context, keys)
    campaigns.resume(campaign.pk)
    context.show("Resumed.")
    return lambda: each_once(context, keys)


def each_once(context: Context, keys: list[str]) -> str:
    """The result once each reader has a mail."""
    found = [context.stack.effects(key) for key in keys]
    if not all(found):
        return ""
    if sum(found) > len(found):
        raise NotSeen(f"{sum(found) - len(found)} mails were sent twice")
    return f"Each of {len(keys)} readers has one mail."


def lost_mails(context: Context, keys: list[str]) -> Check:
    """Without a ledger: the result once no queue and no live worker has a mail of the campaign."""
    idle = 0

    def check() -> str:
        nonlocal idle
        idle = 0 if unfinished(context) else idle + 1  # messages move between two reads, so one is not enough
        missing = [context.stack.effects(key) for key in keys].count(0) if idle >= 2 else 0
        if idle >= 2 and not missing:
            raise NotSeen("the expected result did not occur this time: no mail was lost")
        return f"{missing} of {len(keys)} readers have no mail, and no record says which." if missing else ""

    return check


def unfinished(context: Context) -> bool:
    try:
        return context.stack.queued("bulk") > 0 or tasks.mail_campaign.name in context.held()
    except pending.UNREADABLE:  # the worker is not back yet
        return True


def silent_sms(context: Context) -> Check:
    """The SMS provider is down when the warehouse reports a shipment. Later the notice falls back to mail."""
    context.stack.fault("sms", down=True)
    context.show("The SMS provider drops each connection.")
    number = context.buy().number
    Order.objects.filter(number=number).update(user=people.join(Channel.SMS).user_id)
    context.wait(lambda: context.stack.effects(f"shipment:{number}"), "the shipment")
    url = f"{context.stack.partners}/warehouse/shipments/{number}/events"
    urllib3.request("POST", url, json={"type": "shipment.shipped"}, timeout=10)
    key = f"shipped:{number}"
    notice = Notice.objects.filter(key=key)
    context.wait(notice.exists, "the notice")
    requests = context.stack.requests("sms")
    context.wait(lambda: context.stack.requests("sms") > requests, "a request to the SMS provider")
    patience = named("shipped").patience
    notice.update(created_at=F("created_at") - patience)
    operations.reschedule(f"sms:{key}")
    context.show(f"Order {number} was shipped, and no SMS says so. The lab lets {patience.seconds // 60} minutes pass.")
    context.wait(lambda: context.stack.effects(key), "the notice by email", 60)
    context.show("The notice came by email instead.")
    context.stack.fault("sms")
    return complete(context, "The customer got one notice.", lambda: context.stack.effects(key) == 1)


def clean_up(stack: DemoStack) -> None:
    """Cancel the campaigns that experiments left, and delete their people."""
    ours = Campaign.objects.filter(subject=SUBJECT)
    ours.exclude(ended_at=None).delete()
    for campaign in ours.exclude(state__in=[Campaign.State.CANCELLED, Campaign.State.SENT]):
        campaigns.cancel(campaign.pk)
    stack.delete_messages("bulk", tasks.mail_campaign.name)
    people.remove()
