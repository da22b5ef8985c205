"""Checks who sends a push message: VAPID, RFC 8292."""

import re
import time

import jwt
from aiohttp import web

from partners.problems import Problem
from partners.push_encryption import raw_key

AUTHORIZATION = re.compile(r"vapid t=([^,\s]+),\s*k=([A-Za-z0-9_-]+)", re.IGNORECASE)
LONGEST = 24 * 3600  # seconds of a token's life
CLOCKS = 60  # seconds by which two clocks may differ


def check_vapid(request: web.Request, server_key: str) -> None:
    """Raises Problem 401 without a token, and 403 for one that is wrong, too old, or of another sender."""
    found = AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if found is None:
        raise Problem(401, "A message needs the header Authorization: vapid t=…, k=….")
    token, key = found.groups()
    if key != server_key:
        raise Problem(403, "The browser subscribed to another sender.")
    origin = request.url.origin()
    try:
        claims = jwt.decode(
            token,
            raw_key(key),
            algorithms=["ES256"],
            # The library `webpush` leaves the port out, as real push services have the usual one.
            audience=[str(origin), f"{origin.scheme}://{origin.host}"],
            options={"require": ["aud", "exp", "sub"]},
        )
    except (jwt.InvalidTokenError, ValueError) as error:
        raise Problem(403, f"The token is not valid: {error}.") from None
    if claims["exp"] > time.time() + LONGEST + CLOCKS:
        raise Problem(403, "The token is valid for over 24 hours.")
    if not claims["sub"].startswith(("mailto:", "https:")):
        raise Problem(403, "The token's sub is neither mailto: nor https:.")
