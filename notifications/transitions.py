"""The changes of a notice, each by compare-and-set: its WHERE names the channel and the state that it expects.

| From | When | To |
| --- | --- | --- |
| waiting, or failed and replayed | its text is no longer wanted | unwanted |
| waiting, any channel | the provider or the mail server accepts it | accepted |
| waiting, SMS or browser | it fails for good, or is not accepted in time | waiting, mail; its job is enqueued |
| waiting or accepted, SMS | the receipt says failed | waiting, mail; its job is enqueued |
| waiting or accepted, SMS | the receipt says delivered | delivered |
| waiting, mail | the mail server refuses it for good | failed; its job is a dead letter |
| failed, mail | a person replays the job, and the mail server accepts it | accepted |
| waiting or accepted, mail | the mail bounced | failed |

Nothing leaves delivered or unwanted, and a notice on mail stays there. So of two receipts for one message the first
holds, and a receipt that comes after the fallback changes nothing.

Races: a receipt or a bounce comes before the sender's own commit. It finds the notice by its key, still waiting; then
the sender's change matches no row. Two dispatchers, or a rescue, run the job twice: the provider knows the key, and one
of two equal changes matches. Two causes of a fallback at once: one changes the row, and enqueues the mail in that
transaction.
"""

from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now

from backroom import Call, enqueue_all
from notifications.kinds import PATIENT, PROMPT, named
from notifications.models import Channel, Notice

State = Notice.State
TO_SEND = (State.WAITING, State.FAILED)  # a failed one's job runs once a person replays it
UNDER_WAY = (State.WAITING, State.ACCEPTED)  # a report of the provider may come


def call(notice: Notice) -> Call:
    """The job of the notice's channel. By its key, `sms:shipped:1001`, a channel has one job at most."""
    task, key = f"notifications.send_{notice.channel}", f"{notice.channel}:{notice.key}"
    retry = PATIENT if notice.channel == Channel.MAIL else PROMPT
    return Call(task, {"notice": notice.pk}, named(notice.kind).queue, retry.attempts, key)


def enqueue(notice: Notice) -> None:
    enqueue_all(call(notice))


def accept(notice: Notice, provider_id: str) -> None:
    _change(notice, [notice.state], state=State.ACCEPTED, provider_id=provider_id, ended_at=None)


def drop(notice: Notice) -> None:
    """It is no longer wanted."""
    _change(notice, [notice.state], state=State.UNWANTED, ended_at=Now())


def confirm(notice: Notice) -> None:
    """The receipt says that the SMS was delivered."""
    _change(notice, UNDER_WAY, state=State.DELIVERED, ended_at=Now())


def fail(notice: Notice) -> None:
    """The mail is refused for good, or bounced, and no channel is left."""
    _change(notice, UNDER_WAY, state=State.FAILED, ended_at=Now())


def fall_back(notice: Notice, states: Sequence[str] = UNDER_WAY) -> None:
    """Let mail take over from another channel, unless the notice has left it or is in none of these states."""
    with transaction.atomic():
        if _change(notice, states, channel=Channel.MAIL, state=State.WAITING, provider_id=""):
            notice.channel = Channel.MAIL
            enqueue(notice)


def _change(notice: Notice, states: Sequence[str], **values: object) -> bool:
    """Change a notice that is still on its channel and in one of these states."""
    return bool(Notice.objects.filter(pk=notice.pk, channel=notice.channel, state__in=states).update(**values))
