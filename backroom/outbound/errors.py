"""How a call to a partner fails, apart from Permanent and RetryAfter."""

from backroom.ledger.errors import Snooze


class PartnerUnavailable(Exception):
    """The partner did not answer, or not sensibly: it may have done the work, so ask again with the same key."""


class PartnerUnreachable(PartnerUnavailable):
    """No conversation came about, so the partner has done nothing, and no request can be to blame."""


class Away(Snooze, PartnerUnavailable):
    """The partner is not to be asked now. A job waits and uses no attempt; for whoever is no job the partner is
    unavailable, and said so at once."""
