"""The daily digest of new products and offers, at each subscriber's own midnight. Cron is the enqueuer: a scan each
quarter of an hour, as midnights of all zones are at a quarter.

A day is its subscriber's local date, as tzdata has it when the scan runs. `Subscription.digest_on` moves on in the
transaction that enqueues the job, and back only if its mail comes too late to be sent. The job's key has the day, so a
day has one digest at most, also after a change of the zone.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Min, Q, QuerySet
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone

from backroom import Call, enqueue_many
from catalog.models import Product
from marketing import bulk_mail, subscriptions
from marketing.models import Subscription

log = logging.getLogger(__name__)

LATE = timedelta(hours=6)  # after midnight; a digest that is later is not sent
LONGEST = timedelta(days=7)  # a digest holds the news of no more days
SLICE = 1_000  # subscribers at a time
MOST = 12  # products of each kind in a mail


def first_instant(zone: tzinfo, day: date) -> datetime:
    """When a local day begins, in UTC. Of a midnight that comes twice the first; where clocks skip it, the instant at
    which they do: its offset is that of the day before (PEP 495, fold=0)."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def due(zone: tzinfo, now: datetime, last: date | None) -> date | None:
    """The local day whose digest is due now. `last` is the day of the last one. None: it was sent, or it is too late
    for today's."""
    today = now.astimezone(zone).date()
    if last is not None and last >= today:
        return None
    return today if now - first_instant(zone, today) <= LATE else None


def scan(call: Callable[[int, str, str], Call]) -> int:
    """Enqueue the digests that are due; returns how many. `call` makes the call of a job, out of the arguments of
    `send`."""
    now = timezone.now()
    return sum(len(calls) for zone, day in zones(now) for calls in slices(zone, day, call))


def zones(now: datetime) -> Iterator[tuple[str, date]]:
    """The zones whose day has begun while a subscriber there has no digest of it, with that day. A zone that tzdata no
    longer has is logged, and holds up no other."""
    wanted = subscriptions.wanting("digest").order_by()
    for name, last in wanted.values_list("time_zone").annotate(last=Min(Coalesce("digest_on", date.min))):
        try:
            day = due(ZoneInfo(name), now, last)
        except (KeyError, ValueError, OSError):
            log.warning("there is no time zone %s: its subscribers get no digest", name)
        else:
            if day:
                yield name, day


def slices(zone: str, day: date, call: Callable[[int, str, str], Call]) -> Iterator[list[Call]]:
    """Enqueue the digests of a zone's day, SLICE subscribers in a transaction.

    Race: two scans at once. The second waits for the first one's locks, and then finds `digest_on` moved on.
    """
    after = 0
    while True:
        with transaction.atomic():
            left = subscriptions.wanting("digest").filter(Q(digest_on=None) | Q(digest_on__lt=day), time_zone=zone)
            rows = left.filter(pk__gt=after).order_by("pk").select_for_update(no_key=True)
            found = list(rows.values_list("pk", "digest_on")[:SLICE])
            Subscription.objects.filter(pk__in=[id for id, _ in found]).update(digest_on=day)
            calls = [call(id, f"{day:%Y%m%d}", f"{last:%Y%m%d}" if last else "") for id, last in found]
            enqueue_many(calls)
        if not calls:
            return
        after = found[-1][0]
        yield calls


def send(subscription_id: int, day: str, last: str) -> None:
    """Mail the digest of a local day: the news since the day of the last one. Not if there are none, or if the
    subscriber left. If it is too late by now, or the subscriber moved to where it is another day, the next one has its
    news."""
    reader = subscriptions.reader(subscription_id, "digest")
    if reader is None:
        return
    zone, today = ZoneInfo(reader.time_zone), date.fromisoformat(day)
    before = date.fromisoformat(last) if last else None
    if due(zone, timezone.now(), None) != today:
        Subscription.objects.filter(pk=subscription_id, digest_on=today).update(digest_on=before)
        return
    since = max(before, today - LONGEST) if before else today - timedelta(days=1)
    new, offers = news(first_instant(zone, since), first_instant(zone, today))
    if new or offers:
        bulk_mail.send(
            key=f"digest:{subscription_id}-{day}",
            subscription=reader,
            topic="digest",
            subject=f"News of {today:%-d %B}",
            template="marketing/mail/digest",
            context={
                "new": new,
                "offers": offers,
                "site": settings.SITE_URL,
                "url": settings.SITE_URL + reverse("catalog:products"),
            },
        )


def news(begin: datetime, end: datetime) -> tuple[list[Product], list[Product]]:
    """The products that were added in this time, and the other ones whose offer began in it; MOST of each."""
    on_sale = Product.objects.filter(active=True, stock__gt=0)
    new = on_sale.filter(added_at__gte=begin, added_at__lt=end)
    offers = on_sale.filter(was__isnull=False, offered_at__gte=begin, offered_at__lt=end).exclude(pk__in=new)
    return _newest(new, "-added_at"), _newest(offers, "-offered_at")


def _newest(products: QuerySet[Product], order: str) -> list[Product]:
    return list(products.order_by(order, "name")[:MOST])
