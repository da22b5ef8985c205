"""Exports and erasures, as the page "Your data" and staff start them. Both write rows and jobs, and return at once."""

from dataclasses import dataclass, field

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction

from accounts import personal_data, tasks
from accounts.models import DataExport
from backroom import Call, batch, enqueue_all
from backroom.ledger import operations
from backroom.ledger.models import LIVE, Job
from backroom.ops import audit_log


def export(user: User) -> DataExport:
    """Start an export, and the mail with its link. Race: two clicks at once. The lock lets the second find the first's,
    which is under way."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        latest = DataExport.objects.filter(user=user).first()
        if latest is None or not Job.objects.filter(key__in=keys(latest), state__in=LIVE).exists():
            latest = DataExport.objects.create(user=user)
            enqueue_all(tasks.make_export.call(latest.pk).then(tasks.mail_export.call(latest.pk)))
    return latest


def keys(export: DataExport) -> list[str]:
    """Of its jobs: the document's, and the mail's."""
    return [f"export:{export.pk}", f"export-link:{export.pk}"]


@dataclass
class Erasure:
    """The jobs' keys by the noun for what they erase, as "order". `held` says whether there was anything to erase."""

    held: bool = False
    keys: dict[str, list[str]] = field(default_factory=dict)


def erase(address: str, user: User | None, who: str) -> Erasure:
    """Erase all that is held about a person, and record it. A job that runs already is kept, and a dead one replayed.

    An account is closed in this transaction: all its sessions end, nothing signs in any more, and no order is placed
    (orders/ordering/owners.py). The jobs are a batch, whose callback deletes the account. Its members are the erasures
    of the holders and the mail about it, which comes at the beginning: at the end its address is gone.
    """
    erasure, calls = Erasure(), []
    with transaction.atomic():
        if user:
            _close(user)
        for holder, its in personal_data.erase(address, user):
            erasure.held = True
            calls += its
            if holder.noun and its:
                erasure.keys[holder.noun] = [str(call.key) for call in its]
        if user:
            erasure.held = True
            calls.append(tasks.mail_deletion.call(user.pk))
            erasure.keys["account"] = [f"account:{user.pk}"]
        if erasure.held:
            _enqueue(calls, user)
            jobs = Job.objects.filter(key__in=[call.key for call in calls]).values_list("id", flat=True)
            audit_log.note("erased", _subject(erasure), who, jobs=list(map(str, jobs)))
    return erasure


def _enqueue(calls: list[Call], user: User | None) -> None:
    """A job of another person's batch stays there: the same address had an account before."""
    known = Job.objects.filter(key__in=[call.key for call in calls])
    operations.replay(list(map(str, known.values_list("id", flat=True))))
    if user:
        elsewhere = set(known.exclude(batch_id=None).values_list("key", flat=True))
        members = [call for call in calls if call.key not in elsewhere]
        operations.replay([batch(members, then=tasks.delete_account.call(user.pk))])
    else:
        enqueue_all(*calls)


def _close(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False, password=make_password(None))
    EmailAddress.objects.filter(user=user).delete()


def _subject(erasure: Erasure) -> str:
    """The address is in no entry: it would stay in the audit log."""
    named = [f"{noun} {key.partition(':')[2]}" for noun, keys in erasure.keys.items() for key in keys]
    return f"the customer of {', '.join(named) or 'no order'}"
