"""The links in the mails of accounts: signed, for settings.PASSWORD_RESET_TIMEOUT seconds, and of use once.

The token is in the query, as no log has it. A link is made when its mail is sent, so no job holds one.
"""

from urllib.parse import urlencode

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core import signing
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.http import base36_to_int, int_to_base36

SALT = "accounts.verification"


def verification(address: EmailAddress) -> str:
    return _link("accounts:verify", signing.dumps(address.pk, salt=SALT))


def reset(user: User) -> str:
    """Of use until the password, the address or the last sign-in changes."""
    return _link("accounts:reset", f"{int_to_base36(user.pk)}.{default_token_generator.make_token(user)}")


def reset_state(user: User) -> str:
    """A short hash of what the link of a reset is signed over, so another one once that link has ended."""
    return salted_hmac("accounts.reset", default_token_generator._make_hash_value(user, 0)).hexdigest()[:8]


def address_of(token: str) -> EmailAddress | None:
    """The address that the link verifies, locked with its user: of two clicks at once, the second finds it verified."""
    try:
        pk = signing.loads(token, salt=SALT, max_age=settings.PASSWORD_RESET_TIMEOUT)
    except signing.BadSignature:
        return None
    found = EmailAddress.objects.select_for_update(of=("self", "user")).select_related("user")
    return found.filter(pk=pk, verified=False, user__is_staff=False, user__is_active=True).first()


def user_of(token: str) -> User | None:
    """Whose password the link sets, locked, as with an address."""
    id, _, key = token.partition(".")
    try:
        pk = base36_to_int(id)
    except ValueError:
        return None
    user = User.objects.select_for_update().filter(pk=pk, is_staff=False, is_active=True).first()
    return user if default_token_generator.check_token(user, key) else None


def _link(view: str, token: str) -> str:
    return f"{settings.SITE_URL}{reverse(view)}?{urlencode({'token': token})}"
