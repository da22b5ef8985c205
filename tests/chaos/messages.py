"""Messages to people, interrupted before, in or after each: notices, resets, digests, campaigns."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from signal import SIGKILL
from typing import NamedTuple
from zoneinfo import ZoneInfo

import urllib3
from django.contrib.auth.models import User

from accounts import data_requests
from catalog.models import Product
from lab.faults import people
from marketing import campaigns, tasks
from marketing.models import Campaign, Subscription
from notifications.endpoints.models import Endpoint, Event
from notifications.models import Channel
from orders.models import Order
from tests.chaos.context import TIMEOUT, Context
from tests.chaos.faults import Fault, strike
from tests.chaos.server_faults import flushed
from tests.waiting import until

BEFORE, IN, AFTER = STEPS = ("before it", "in it", "after it")


class Message(NamedTuple):
    """A kind of message: what causes it, the worker that sends it, the beginning of its jobs' keys, and the partner.

    `beside`: mails that the worker's other child may be sending, which the fault interrupts, too."""

    cause: Callable[[Context], None]
    process: str
    key: str
    partner: str
    task: str
    beside: int = 0

    @property
    def match(self) -> str:
        """In the repr of a claimed job."""
        return f"key='{self.key}"

    def twice(self, step: str) -> int:
        """How many may go twice, by the written limit: a mail whose 250 was lost with the worker."""
        return (step != BEFORE) + self.beside if self.partner == "mail" else 0


def shipped(channel: str) -> Callable[[Context], None]:
    """The warehouse reports that an order has left, and its customer hears of it by this channel."""

    def cause(context: Context) -> None:
        number = order_of(context, people.join(channel).user_id)
        context.mails.append(f"shipped:{number}")
        report(context, number)

    return cause


def order_of(context: Context, user: int) -> int:
    """A new order whose shipment the warehouse has, given to this person."""
    sent = Order.objects.filter(sent_at__isnull=False, shipped_at=None, user=None).order_by("-number")

    def found() -> int | None:
        numbers = sent.values_list("number", flat=True)[:5]
        return next((number for number in numbers if context.cluster.effects(f"shipment:{number}")), None)

    number = until(found, TIMEOUT, "an order that was sent")
    Order.objects.filter(number=number).update(user=user)
    return int(str(number))


def report(context: Context, number: int) -> None:
    """Have the warehouse send its webhook now. By itself it sends none here."""
    url = f"{context.cluster.partners}/warehouse/shipments/{number}/events"
    answer = urllib3.request("POST", url, json={"type": "shipment.shipped"}, timeout=10)
    assert answer.status == 202, answer.data


def reset(context: Context) -> None:
    context.mails.append(people.forget_password(context.cluster.site, people.join()))


def campaign(readers: int) -> Callable[[Context], None]:
    """A campaign to new readers. Those of earlier rows have left."""

    def cause(context: Context) -> None:
        people.remove()
        ids = people.subscribe(readers)
        sent = Campaign.objects.create(subject="Everything green", body="Everything green is in season.")
        context.mails += [f"campaign:{sent.pk}-{id}" for id in ids]
        campaigns.schedule(sent.pk)

    return cause


def digest(context: Context) -> None:
    """The digest of a new reader, in a zone where the day began two hours ago."""
    people.remove()
    now, (id,) = datetime.now(UTC), people.subscribe(1)
    hours = (2 - now.hour + 12) % 24 - 12
    zone = f"Etc/GMT{-hours:+d}"  # these have the sign of POSIX
    Subscription.objects.filter(pk=id).update(digest=True, time_zone=zone)
    news = Product.objects.filter(active=True, stock__gt=0).order_by("pk")[:1]
    Product.objects.filter(pk__in=news.values("pk")).update(added_at=now - timedelta(hours=5))
    context.mails.append(f"digest:{id}-{now.astimezone(ZoneInfo(zone)):%Y%m%d}")
    tasks.enqueue_digests.enqueue()


def webhook(context: Context) -> None:
    """The warehouse reports that an order has left, and a system of its customer hears of it, beside the customer."""
    user = people.join().user_id
    Endpoint.objects.create(user_id=user, url=f"{context.cluster.partners}/receiver/chaos", events=["order.shipped"])
    number = order_of(context, user)
    context.mails.append(f"shipped:{number}")
    context.tasks.append("notifications.send_mail")
    report(context, number)
    context.webhooks.append(until(Event.objects.filter(about=str(number)).first, TIMEOUT, "its event").pk)


MESSAGES = {
    "SMS": Message(shipped(Channel.SMS), "worker-default", "sms:", "sms", "notifications.send_sms"),
    "push": Message(shipped(Channel.PUSH), "worker-default", "push:", "push", "notifications.send_push"),
    "notice by mail": Message(
        shipped(Channel.MAIL), "worker-default", "mail:shipped", "mail", "notifications.send_mail"
    ),
    "password reset": Message(reset, "worker-critical", "reset:", "mail", "accounts.mail_reset", beside=1),
    "digest": Message(digest, "worker-bulk", "digest:", "mail", "marketing.send_digest"),
    "webhook": Message(webhook, "worker-webhooks", "webhook:", "receiver", "notifications.send_webhook"),
    "campaign": Message(campaign(6), "worker-bulk", "campaign:", "mail", "marketing.mail_campaign", beside=1),
}


def in_the_webhook(boundary: str) -> Fault:
    """SIGKILL to all of the web while it takes the warehouse's report. The warehouse sends it again."""

    def fault(context: Context) -> None:
        context.tasks.append("notifications.send_mail")
        armed = context.arm(boundary, "web", "shipped")
        shipped(Channel.MAIL)(context)
        strike(context, armed.wait(TIMEOUT), SIGKILL, "all")

    return fault


def deleting(boundary: str, process: str, match: str) -> Fault:
    """SIGKILL to the worker in the middle of the deletion of an account. The account is gone in the end."""

    def fault(context: Context) -> None:
        context.tasks += ["notifications.send_mail", "orders.erase_customer", "accounts.delete_account"]
        address = people.join()
        number = order_of(context, address.user_id)
        report(context, number)
        until(Order.objects.filter(number=number, shipped_at__isnull=False).exists, TIMEOUT, "the parcel's report")
        armed = context.arm(boundary, process, match)
        context.mails += [f"shipped:{number}", f"deletion:{address.user_id}"]
        data_requests.erase(address.email, address.user, "the crash matrix")
        strike(context, armed.wait(TIMEOUT), SIGKILL, "all")
        until(lambda: not User.objects.filter(pk=address.user_id).exists(), TIMEOUT, "the end of the account")

    return fault


def fan_out_flushed(context: Context) -> None:
    """FLUSHALL while a campaign's messages wait in the broker, as the mail server is slow."""
    context.tasks.append("marketing.mail_campaign")
    context.cluster.fault("mail", latency_ms=1500)
    campaign(30)(context)
    until(lambda: context.cluster.queued("bulk") >= 4, TIMEOUT, "waiting messages")
    context.strike()
    flushed(context)
    context.cluster.heal()


def fan_out_by_two(context: Context) -> None:
    """A campaign, published by two dispatchers, and no other fault."""
    context.tasks.append("marketing.mail_campaign")
    context.strike()
    campaign(60)(context)


def sending(what: str, step: str) -> Fault:
    """SIGKILL to the worker that sends it."""
    message = MESSAGES[what]

    def fault(context: Context) -> None:
        context.tasks.append(message.task)
        armed = context.arm("after the effect" if step == AFTER else "after claim", message.process, message.match)
        message.cause(context)
        hit = armed.wait(TIMEOUT)
        if step == IN:
            context.cluster.fault(message.partner, latency_ms=1500)
            hit.release()
            time.sleep(0.7)  # its request is in flight now, and the partner takes twice as long
        strike(context, hit, SIGKILL, "all")

    return fault
