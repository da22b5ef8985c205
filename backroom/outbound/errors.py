"""How a call to a partner fails, apart from Permanent and RetryAfter."""

from backroom.ledger.errors import Snooze


class PartnerUnavailable(Exception):
    """No answer, or one that makes no sense. The partner may have done the work: call again with the same key."""


class PartnerUnreachable(PartnerUnavailable):
    """No connection: the partner has done nothing, and the request is not to blame."""


class RequestDeferred(Exception):
    """The partner works, and refuses this one request for now: retry. Other requests pass, so it opens no breaker."""


class Away(Snooze, PartnerUnavailable):
    """The breaker or the rate limit holds the call back. A job waits and uses no attempt; for other callers the partner
    is unavailable at once."""
