"""The payment gateway: authorize, ask how an authorization stands, void. The key is `payment:<order number>`.

Nothing here touches the database. A customer waits for `authorize`, so its timeouts are short: 0.5 s to connect
and 2 s for the answer. What the answer means for an order is settlement.py's business.
"""

from decimal import Decimal

from jobs.http import Partner, PartnerUnavailable

APPROVED, DECLINED, PENDING, VOIDED = "approved", "declined", "pending", "voided"
CARDS = {
    "demo-approve": "Demo card that is approved",
    "demo-decline": "Demo card that is declined",
    "demo-slow": "Demo card whose bank takes its time",
}

gateway = Partner("payments", timeout=(0.5, 2.0))


def authorize(number: int, amount: Decimal, currency: str, card: str) -> str:
    """Charge the card once for this order, however often it is asked; returns the status.

    VOIDED means that the order was given up before the request arrived: nothing is charged. Raises what Partner.post
    does; then nobody knows whether the card was charged.
    """
    body = {"order": str(number), "amount": f"{amount:.2f}", "currency": currency, "card": card}
    return _status(gateway.post("/payments/authorizations", body, key=f"payment:{number}"))


def find(number: int) -> str | None:
    """The status of an order's authorization, None if the gateway knows none. Raises what Partner.get does."""
    answer = gateway.get(f"/payments/authorizations/payment:{number}")
    return None if answer is None else _status(answer)


def void(number: int) -> None:
    """Give a charge back, or keep one that has not arrived yet from ever being made. Raises what Partner.post does."""
    gateway.post(f"/payments/authorizations/payment:{number}/void", {}, key=f"void:{number}")


def _status(answer: dict) -> str:
    status = answer.get("status")
    if status not in (APPROVED, DECLINED, PENDING, VOIDED):
        raise PartnerUnavailable("payments answered with a status that nobody knows")
    return status
