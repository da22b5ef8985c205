"""The end of an account: what its jobs do, and how far they are. data_requests.py starts them."""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core import signing
from django.urls import reverse
from django.utils.module_loading import import_string

from accounts import personal_data
from backroom import resumable
from backroom.ledger.models import Job, State
from backroom.outbound.http import Partner

PARTNERS = (Partner("mail"), Partner("sms"), Partner("push"))  # they hold messages, each with the account's id
SALT = "accounts.erasure"
SHOWN = 10  # of what is left
LASTS = timedelta(days=60)  # the link to the page; longer than any order needs


@dataclass(frozen=True)
class Deletion:
    """How far the deletion of an account is. `left` says what it waits for, in sentences."""

    ended: bool
    done: int
    of: int
    left: list[str]


def delete_account(user: int) -> None:
    """Have the partners forget the person, then delete their sessions and the account with all that is its own. A
    repeated call goes on. Raises what Partner.post does."""
    for partner in PARTNERS:
        partner.post(f"/{partner.name}/erasures", {"person": str(user)}, key=f"account:{user}")
    _delete_sessions(user)
    User.objects.filter(pk=user, is_active=False).delete()


def _delete_sessions(user: int) -> None:
    """They ended when the account was closed. Their rows may hold an address, and no index says whose they are. Of
    millions, an attempt reads what it can, and the next one goes on."""
    for session in resumable(Session.objects.all()):
        if session.get_decoded().get(SESSION_KEY) == str(user):
            session.delete()


def path(user: int) -> str:
    """Of the page that shows the deletion. It needs no sign-in, which is impossible by then."""
    return f"{reverse('accounts:deletion')}?{urlencode({'token': signing.dumps(user, salt=SALT)})}"


def deletion(token: str) -> Deletion | None:
    """How far the deletion of this token is; None for a forged or an old one."""
    try:
        user = signing.loads(token, salt=SALT, max_age=LASTS)
    except signing.BadSignature:
        return None
    members = Job.objects.filter(batch_id__in=Job.objects.filter(key=f"account:{user}").values("id"))
    left = members.exclude(state=State.SUCCEEDED).order_by("id").values_list("key", flat=True)
    total = members.count()
    sentences = {holder.kind: holder.left for holder in personal_data.HOLDERS.values() if holder.left}
    named = [key.partition(":") for key in left if key]
    waiting = [key for key in named if key[0] in sentences]
    return Deletion(
        ended=not User.objects.filter(pk=user).exists(),
        done=total - len(named),
        of=total + 1,  # the account itself
        left=[import_string(sentences[kind])(about) for kind, _, about in waiting[:SHOWN]],
    )
