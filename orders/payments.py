"""The payment gateway: reserve the money of an order, ask how that stands; then take it, or give it back.

Nothing here touches the database. A customer waits for `authorize`, so its times are short: 0.5 s to connect,
2 s for the answer; before that, 1 s for its turn, where the gateway is asked as often as it allows. What the answer
means for an order is settlement.py's business.

The authorization's key is `payment:<order number>`; each step on it has its own (`capture:`, `void:`, `refund:`).
The gateway does each step once, and of a capture and a void the one that comes first; whoever comes second is told so.
"""

from decimal import Decimal

from backroom.outbound.http import Conflict, Partner, PartnerUnavailable

APPROVED, DECLINED, PENDING, VOIDED = "approved", "declined", "pending", "voided"
CAPTURED, REFUNDED = "captured", "refunded"
CARDS = {
    "demo-approve": "Demo card that is approved",
    "demo-decline": "Demo card that is declined",
    "demo-slow": "Demo card whose bank takes its time",
}

gateway = Partner("payments", timeout=(0.5, 2.0), patience=1.0)
patient = Partner("payments", timeout=(1, 10))  # for the back room, where nobody waits


def authorize(number: int, amount: Decimal, currency: str, card: str) -> str:
    """Reserve the money once for this order, however often it is asked; returns the status.

    VOIDED means that the order was given up before the request arrived: nothing is reserved. Raises what Partner.post
    does; then nobody knows whether the money is reserved.
    """
    body = {"order": str(number), "amount": f"{amount:.2f}", "currency": currency, "card": card}
    return _status(gateway.post("/payments/authorizations", body, key=f"payment:{number}"))


def find(number: int) -> str | None:
    """The status of an order's authorization, None if the gateway knows none. Raises what Partner.get does."""
    answer = gateway.get(f"/payments/authorizations/payment:{number}")
    return None if answer is None else _status(answer)


def capture(number: int) -> None:
    """Take the money that was reserved. Raises Conflict if it was voided, and what Partner.post does."""
    _step(number, "capture")


def void(number: int) -> None:
    """Let go of what was reserved, or keep an authorization that has not arrived yet from ever being made. Raises
    Conflict if the money was taken, and what Partner.post does."""
    _step(number, "void")


def give_back(number: int) -> str:
    """Undo a payment, whether the money was taken or only reserved; returns REFUNDED or VOIDED. Raises what
    Partner.post does.

    A capture may be on its way at this moment, so nobody asks first how things stand. The void comes before it, and
    then there is nothing left to take; or it comes too late, and then what was taken stays taken until it is refunded.
    """
    try:
        void(number)
    except Conflict:
        _step(number, "refund")
        return REFUNDED
    return VOIDED


def _step(number: int, step: str) -> None:
    patient.post(f"/payments/authorizations/payment:{number}/{step}", {}, key=f"{step}:{number}")


def _status(answer: dict) -> str:
    status = answer.get("status")
    if status not in (APPROVED, DECLINED, PENDING, VOIDED, CAPTURED, REFUNDED):
        raise PartnerUnavailable("payments answered with a status that nobody knows")
    return status
