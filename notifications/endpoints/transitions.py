"""The changes of endpoints and deliveries, each by compare-and-set: its WHERE names the state that it expects.

| What | From | When | To |
| --- | --- | --- | --- |
| delivery | any, in the same round | the answer is 2xx | delivered |
| | waiting | its last attempt fails | failed |
| | waiting | the endpoint is off | cancelled |
| | any, unless its job goes on | its owner replays it | waiting, in the next round |
| endpoint | active | its owner pauses it | paused: its jobs snooze |
| | paused, off | its owner resumes it | active: its jobs run now |
| | active, paused | it answers 410; or a delivery fails, and none succeeded for five days | off, with a mail |

Races: a delivery's job runs twice, as after a rescue. Both may post, under one webhook-id, and one change matches. An
event comes as its endpoint goes off: its job finds that, and cancels the delivery. A job reads "paused" just as the
pause ends: it runs a day later, or after another resume.

Limit: a job that ends outside its body, as by a kill in its last attempt, leaves its delivery waiting: a dead letter,
until its owner replays it.
"""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat, Now
from django.utils import timezone

from backroom import enqueue_all
from backroom.ledger import operations
from backroom.ledger.models import LIVE, Job
from notifications.endpoints import jobs
from notifications.endpoints.models import Delivery, Endpoint, new_secret
from notifications.notify import notify

DAYS = timedelta(days=5)  # of failures only; then an endpoint is switched off
BOTH = timedelta(days=1)  # a replaced secret still signs, too
SLICE = 1_000  # deliveries of one replay, or of one DELETE
Ended, On = Delivery.State, Endpoint.State


def deliver(delivery: Delivery) -> None:
    """Race: another attempt, which was taken for dead, failed as the last one meanwhile, or the endpoint went off. This
    answer holds."""
    Endpoint.objects.filter(pk=delivery.endpoint_id, failing_since__isnull=False).update(failing_since=None)
    same = Delivery.objects.filter(pk=delivery.pk, round=delivery.round).exclude(state=Ended.DELIVERED)
    same.update(state=Ended.DELIVERED, ended_at=Now())


def fail(delivery: Delivery, last: bool) -> None:
    """An attempt failed. Only the delivery's last one switches an endpoint off: after a quiet week, one failure must
    not."""
    endpoint = Endpoint.objects.filter(pk=delivery.endpoint_id)
    endpoint.filter(failing_since=None).update(failing_since=Now())
    if last:
        _end(delivery, Ended.FAILED)
        if endpoint.filter(failing_since__lt=timezone.now() - DAYS).exists():
            switch_off(delivery.endpoint_id)


def cancel(delivery: Delivery) -> None:
    _end(delivery, Ended.CANCELLED)


def _end(delivery: Delivery, state: str) -> None:
    same = Delivery.objects.filter(pk=delivery.pk, round=delivery.round, state=Ended.WAITING)
    same.update(state=state, ended_at=Now())


def switch_off(id: int) -> None:
    """Switch an endpoint off, cancel what waits for it, and mail its owner, in one transaction."""
    with transaction.atomic():
        if not Endpoint.objects.filter(pk=id, state__in=[On.ACTIVE, On.PAUSED]).update(state=On.OFF):
            return
        operations.cancel(keys=_keys(id), why="the endpoint was switched off")
        Delivery.objects.filter(endpoint=id, state=Ended.WAITING).update(state=Ended.CANCELLED, ended_at=Now())
        owner = Endpoint.objects.select_related("user").get(pk=id).user
        notify(owner, "endpoint_off", about=f"{id}-{timezone.now():%Y%m%d%H%M%S}")


def pause(id: int) -> bool:
    return bool(Endpoint.objects.filter(pk=id, state=On.ACTIVE).update(state=On.PAUSED))


def resume(id: int) -> bool:
    """What waits runs now, that which failed before, too."""
    with transaction.atomic():
        held = Endpoint.objects.filter(pk=id, state__in=[On.PAUSED, On.OFF])
        if not held.update(state=On.ACTIVE, failing_since=None):
            return False
        operations.reschedule(*_keys(id))
    return True


def rotate(id: int) -> bool:
    """Another secret. For a day both sign: its owner's system can learn the new one meanwhile. False while a former one
    signs: its owner's system may still use that, and a third has no place."""
    now = timezone.now()
    single = Endpoint.objects.filter(Q(former_until=None) | Q(former_until__lte=now), pk=id)
    return bool(single.update(former_secret=F("secret"), former_until=now + BOTH, secret=new_secret()))


def forget_former(endpoints: QuerySet[Endpoint]) -> int:
    """Let only their present secrets sign."""
    return endpoints.exclude(former_until=None).update(former_secret="", former_until=None)


def delete(endpoints: QuerySet[Endpoint]) -> int:
    """Delete endpoints with their deliveries; returns the number of rows. Race: an event comes now. The lock waits for
    it; or its `emit` leaves out what is off, and an order never waits while many deliveries go."""
    ids = list(endpoints.values_list("pk", flat=True))
    Endpoint.objects.filter(pk__in=ids).update(state=On.OFF)
    gone = 0
    while some := _delete(Delivery.objects.filter(endpoint__in=ids)):
        gone += some
    return gone + _delete(Endpoint.objects.filter(pk__in=ids))


def _delete(rows: QuerySet[Any]) -> int:
    """Delete at most SLICE of them, and what hangs on them. Nothing is added to a locked row meanwhile."""
    with transaction.atomic():
        locked = [each.pk for each in rows.order_by("pk").select_for_update()[:SLICE]]
        return rows.model._default_manager.filter(pk__in=locked).delete()[0]


def replay(chosen: QuerySet[Delivery]) -> int:
    """Send these again, at most SLICE, the oldest first; returns how many. Those whose job goes on are left out.

    Race: a second click at once. The lock waits for the first, whose jobs this statement's snapshot may not have: the
    second statement has them.
    """
    with transaction.atomic():
        locked = [each.pk for each in stopped(chosen).order_by("id").select_for_update(of=["self"])[:SLICE]]
        found = list(stopped(Delivery.objects.filter(pk__in=locked)).select_related("endpoint").order_by("id"))
        for delivery in found:
            delivery.round, delivery.state, delivery.ended_at = delivery.round + 1, Ended.WAITING, None
        Delivery.objects.bulk_update(found, ["round", "state", "ended_at"], batch_size=SLICE)
        enqueue_all(*(jobs.call(delivery, delivery.endpoint) for delivery in found))
    return len(found)


def unsent(id: int, since: timedelta) -> QuerySet[Delivery]:
    """An endpoint's deliveries of the time since then that came to nothing. `replay` leaves out those that go on."""
    return Delivery.objects.filter(endpoint=id, created_at__gt=timezone.now() - since).exclude(state=Ended.DELIVERED)


def stopped(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Those that no job will try again."""
    id, round = (Cast(OuterRef(name), TextField()) for name in ("pk", "round"))
    key = Concat(Value("webhook:"), id, Value("-"), round, output_field=TextField())
    return deliveries.exclude(Exists(Job.objects.filter(key=key, state__in=LIVE)), state=Ended.WAITING)


def _keys(id: int) -> list[str]:
    """The keys of the jobs that wait for an endpoint."""
    return [jobs.key(delivery) for delivery in Delivery.objects.filter(endpoint=id, state=Ended.WAITING)]
