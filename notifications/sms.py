"""Sends one SMS through the provider, which accepts it now and tells later, by webhook, what became of it."""

import re

from backroom.outbound.http import Partner, PartnerUnavailable

partner = Partner("sms")


def send(key: str, to: str, text: str, person: str) -> str:
    """Send the SMS of this key to a number in E.164; returns the provider's name for it. By `person`, the id of a user,
    the provider forgets it later. A repeated call with the key sends nothing more. Raises what Partner.post does:
    Permanent for an unknown number."""
    id = partner.post("/sms/messages", {"to": to, "text": text, "person": person}, key=key).get("id")
    if not isinstance(id, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", id):
        raise PartnerUnavailable("sms answered without an id")
    return id
